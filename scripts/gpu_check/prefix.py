"""Collects the libraries that the tests need and a machine without package registries may lack."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

# Asks CMake where this machine has them.
QUESTION = """
cmake_minimum_required(VERSION 3.25)
project(prefix LANGUAGES CXX)
find_package(GTest REQUIRED)
find_package(fmt REQUIRED)
set(answer "")
foreach(name gtest gtest_main gmock)
  if(TARGET GTest::${name})
    string(APPEND answer "library=${name}=$<TARGET_FILE:GTest::${name}>\\n")
    set(includes $<TARGET_PROPERTY:GTest::${name},INTERFACE_INCLUDE_DIRECTORIES>)
    string(APPEND answer "include=$<JOIN:${includes},\\ninclude=>\\n")
  endif()
endforeach()
string(APPEND answer "include=$<JOIN:$<TARGET_PROPERTY:fmt::fmt,INTERFACE_INCLUDE_DIRECTORIES>,\\ninclude=>\\n")
string(APPEND answer "gtest=${GTest_VERSION}\\nfmt=${fmt_VERSION}\\n")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/answer.txt CONTENT "${answer}")
"""

GTEST_CONFIG = """# GoogleTest, as collected by scripts/gpu-check --make-prefix.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
get_filename_component(prefix ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
foreach(name gtest gtest_main gmock)
  set(library ${prefix}/lib/lib${name}.a)
  if(EXISTS ${library} AND NOT TARGET GTest::${name})
    add_library(GTest::${name} STATIC IMPORTED)
    set_target_properties(GTest::${name} PROPERTIES IMPORTED_LOCATION ${library}
                                                    INTERFACE_INCLUDE_DIRECTORIES ${prefix}/include)
    if(name STREQUAL "gtest")
      set_target_properties(GTest::${name} PROPERTIES INTERFACE_LINK_LIBRARIES Threads::Threads)
    else()
      set_target_properties(GTest::${name} PROPERTIES INTERFACE_LINK_LIBRARIES GTest::gtest)
    endif()
  endif()
endforeach()
"""

FMT_CONFIG = """# fmt without a library, as collected by scripts/gpu-check --make-prefix.
get_filename_component(prefix ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
if(NOT TARGET fmt::fmt)
  add_library(fmt::fmt INTERFACE IMPORTED)
  set_target_properties(fmt::fmt PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${prefix}/include
                                            INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY=1)
endif()
"""


def ask_cmake():
    """Libraries by name, folders of headers, versions."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "CMakeLists.txt").write_text(QUESTION)
        command = ["cmake", "-S", folder, "-B", folder + "/build"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            sys.exit(f"gpu-check: this machine has no GoogleTest and fmt to collect\n{done.stderr}")
        lines = (pathlib.Path(folder) / "build" / "answer.txt").read_text().splitlines()
    libraries, includes, versions = {}, [], {}
    for line in lines:
        kind, _, value = line.partition("=")
        if kind == "library":
            name, _, path = value.partition("=")
            libraries[name] = pathlib.Path(path)
        elif kind == "include" and value:
            includes.append(pathlib.Path(value))
        elif kind in ("gtest", "fmt"):
            versions[kind] = value
    return libraries, includes, versions


def make(folder):
    """Writes the prefix and says what is in it."""
    folder = pathlib.Path(folder)
    libraries, includes, versions = ask_cmake()
    includes.append(pathlib.Path("/usr/include"))  # CMake leaves out what the compiler searches anyway
    if folder.exists() and any(folder.iterdir()) and not (folder / "lib/cmake/GTest").is_dir():
        sys.exit(f"gpu-check: {folder} is there and is no prefix of ours")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lib").mkdir(parents=True)
    for name, path in libraries.items():
        if path.suffix != ".a":
            sys.exit(f"gpu-check: {path} is no static library")
        shutil.copy(path, folder / "lib" / f"lib{name}.a")
    for name in ("gtest", "gmock", "fmt"):
        source = next((include / name for include in includes if (include / name).is_dir()), None)
        if source is not None:
            shutil.copytree(source, folder / "include" / name)
        elif name != "gmock":
            sys.exit(f"gpu-check: no headers of {name} in {', '.join(map(str, includes))}")
    for name, file, config, version in (
        ("GTest", "GTestConfig", GTEST_CONFIG, versions.get("gtest", "")),
        ("fmt", "fmtConfig", FMT_CONFIG, versions.get("fmt", "")),
    ):
        target = folder / "lib/cmake" / name
        target.mkdir(parents=True)
        (target / f"{file}.cmake").write_text(config)
        (target / f"{file}Version.cmake").write_text(
            f'set(PACKAGE_VERSION "{version}")\n'
            "if(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)\n"
            "  set(PACKAGE_VERSION_COMPATIBLE TRUE)\n"
            "endif()\n"
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: GoogleTest {versions.get('gtest')}, fmt {versions.get('fmt')}, {size / 1e6:.1f} MB")
