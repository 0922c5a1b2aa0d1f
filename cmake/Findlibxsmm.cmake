# Finds libxsmm (https://github.com/libxsmm/libxsmm) and its substitute for a BLAS, for which Debian and Ubuntu
# (package libxsmm-dev) ship static libraries and pkg-config files, but no CMake package. Defines
#
#   libxsmm::libxsmm    imported target
#   libxsmm_FOUND, libxsmm_VERSION
#
# Hints: libxsmm_ROOT.
find_path(libxsmm_INCLUDE_DIR NAMES libxsmm.h)
find_library(libxsmm_LIBRARY NAMES xsmm)
find_library(libxsmm_NOBLAS_LIBRARY NAMES xsmmnoblas)
mark_as_advanced(libxsmm_INCLUDE_DIR libxsmm_LIBRARY libxsmm_NOBLAS_LIBRARY)

if(libxsmm_INCLUDE_DIR AND EXISTS ${libxsmm_INCLUDE_DIR}/libxsmm_version.h)
  file(STRINGS ${libxsmm_INCLUDE_DIR}/libxsmm_version.h version_line REGEX "define LIBXSMM_CONFIG_VERSION \"")
  string(REGEX MATCH "[0-9]+\\.[0-9]+(\\.[0-9]+)?" libxsmm_VERSION "${version_line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  libxsmm
  REQUIRED_VARS libxsmm_LIBRARY libxsmm_NOBLAS_LIBRARY libxsmm_INCLUDE_DIR
  VERSION_VAR libxsmm_VERSION)

if(libxsmm_FOUND AND NOT TARGET libxsmm::libxsmm)
  find_package(Threads REQUIRED)
  add_library(libxsmm::libxsmm UNKNOWN IMPORTED)
  set_target_properties(libxsmm::libxsmm PROPERTIES IMPORTED_LOCATION ${libxsmm_LIBRARY}
                                                    INTERFACE_INCLUDE_DIRECTORIES ${libxsmm_INCLUDE_DIR})
  target_link_libraries(libxsmm::libxsmm INTERFACE ${libxsmm_NOBLAS_LIBRARY} Threads::Threads ${CMAKE_DL_LIBS} rt m)
endif()
