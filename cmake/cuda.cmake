# Finds the CUDA toolkit as DNAS_CUDA asks and sets DNAS_HAVE_CUDA. With it, *_cuda.cu sources are compiled; without it
# nothing of CUDA is needed.
include(CheckLanguage)

# dnas_cuda_sources(TARGET SOURCE...): compiles CUDA sources into TARGET; nothing without a toolkit.
function(dnas_cuda_sources target)
  if(NOT DNAS_HAVE_CUDA)
    return()
  endif()
  target_sources(${target} PRIVATE ${ARGN})
  # CMake 3.25 does not know this compiler's flag for C++20, so cuda_std_20 cannot be asked for.
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>
                                           "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>")
  if(DNAS_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings>")
  endif()
  target_link_libraries(${target} PRIVATE CUDA::cudart_static)
endfunction()

set(DNAS_HAVE_CUDA OFF)
if(NOT DNAS_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "DNAS_CUDA is '${DNAS_CUDA}', expected AUTO, ON or OFF")
endif()

if(DNAS_CUDA STREQUAL OFF)
  message(STATUS "CUDA: off (DNAS_CUDA=OFF)")
  return()
endif()

# Named explicitly, since `native` needs a GPU in the machine that builds.
set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPU architectures to compile for")

# The toolkit's own folder is rarely on PATH.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(DNAS_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  mark_as_advanced(DNAS_NVCC)
  if(DNAS_NVCC)
    set(ENV{CUDACXX} ${DNAS_NVCC})
  endif()
endif()

# Compiles something, so that a toolkit that rejects the host compiler counts as none.
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(DNAS_HAVE_CUDA ON)
  message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
elseif(DNAS_CUDA STREQUAL ON)
  message(FATAL_ERROR "DNAS_CUDA is ON, but no working CUDA compiler was found; set CUDACXX or CUDA_HOME, or DNAS_CUDA=OFF")
else()
  message(STATUS "CUDA: off (no working toolkit found; set CUDACXX or CUDA_HOME to name one)")
endif()
