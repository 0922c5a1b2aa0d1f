# Finds cuBLASLt in the CUDA toolkit or in NVIDIA's Python wheel (site-packages/nvidia/cublas, nvidia/cu13), whose library
# has no link without a version. Defines
#
#   CUBLAS::cublasLt    imported target
#   CUBLAS_FOUND, CUBLAS_VERSION
#
# Hints: CUBLAS_ROOT, as a CMake or environment variable; then the toolkit's folders.
find_path(CUBLAS_INCLUDE_DIR NAMES cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(CUBLAS_LT_LIBRARY NAMES cublasLt libcublasLt.so.13 libcublasLt.so.12 NAMES_PER_DIR HINTS ${CUDAToolkit_LIBRARY_DIR}
             PATH_SUFFIXES lib64 lib)
mark_as_advanced(CUBLAS_INCLUDE_DIR CUBLAS_LT_LIBRARY)

if(CUBLAS_INCLUDE_DIR AND EXISTS ${CUBLAS_INCLUDE_DIR}/cublas_api.h)
  set(CUBLAS_VERSION "")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${CUBLAS_INCLUDE_DIR}/cublas_api.h line REGEX "#define CUBLAS_VER_${part} +[0-9]+")
    string(REGEX MATCH "[0-9]+" number "${line}")
    string(APPEND CUBLAS_VERSION ".${number}")
  endforeach()
  string(SUBSTRING "${CUBLAS_VERSION}" 1 -1 CUBLAS_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  CUBLAS
  REQUIRED_VARS CUBLAS_LT_LIBRARY CUBLAS_INCLUDE_DIR
  VERSION_VAR CUBLAS_VERSION)

if(CUBLAS_FOUND AND NOT TARGET CUBLAS::cublasLt)
  add_library(CUBLAS::cublasLt UNKNOWN IMPORTED)
  set_target_properties(CUBLAS::cublasLt PROPERTIES IMPORTED_LOCATION ${CUBLAS_LT_LIBRARY}
                                                    INTERFACE_INCLUDE_DIRECTORIES ${CUBLAS_INCLUDE_DIR})
endif()
