# Installing the libraries, and the package that find_package(dnas CONFIG) reads.
include(CMakePackageConfigHelpers)

set(DNAS_CMAKE_INSTALL_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/dnas)

# dnas_install_library(TARGET [DEPENDS "PACKAGE [ARGUMENT]..." ...])
#
# Installs TARGET with its public headers and exports it as dnas::<its EXPORT_NAME>. DEPENDS lists, as arguments of
# find_package, what TARGET links privately: a static library passes those on to whoever links it, so the package has to
# find them again.
function(dnas_install_library target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" DEPENDS)
  set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  install(
    TARGETS ${target}
    EXPORT dnasTargets
    FILE_SET HEADERS)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL STATIC_LIBRARY)
    set_property(GLOBAL APPEND PROPERTY DNAS_DEPENDENCIES ${arg_DEPENDS})
  endif()
endfunction()

# dnas_install_package(): call once, after every dnas_install_library().
function(dnas_install_package)
  get_property(dependencies GLOBAL PROPERTY DNAS_DEPENDENCIES)
  list(REMOVE_DUPLICATES dependencies)
  list(TRANSFORM dependencies REPLACE "^(.+)$" "find_dependency(\\1)")
  list(JOIN dependencies "\n" DNAS_FIND_DEPENDENCIES)
  configure_package_config_file(
    ${PROJECT_SOURCE_DIR}/cmake/dnasConfig.cmake.in ${PROJECT_BINARY_DIR}/dnasConfig.cmake
    INSTALL_DESTINATION ${DNAS_CMAKE_INSTALL_DIR}
    NO_SET_AND_CHECK_MACRO)
  # Before 1.0 a minor version may change the interface.
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/dnasConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(
    EXPORT dnasTargets
    NAMESPACE dnas::
    DESTINATION ${DNAS_CMAKE_INSTALL_DIR})
  # Our find modules go along: a consumer's CMake may know no other way to find the same library.
  file(GLOB modules ${PROJECT_SOURCE_DIR}/cmake/Find*.cmake)
  install(FILES ${PROJECT_BINARY_DIR}/dnasConfig.cmake ${PROJECT_BINARY_DIR}/dnasConfigVersion.cmake ${modules}
          DESTINATION ${DNAS_CMAKE_INSTALL_DIR})
endfunction()
