# Family folders: adding a member is adding one file.
#
# dnas_family(TARGET NAMESPACE FAMILY ENTRY HEADER): adds every src/FAMILY/*.cpp to TARGET and generates a source with
#
#   void NAMESPACE::register_FAMILY(Registry<ENTRY>& registry);   // declared in HEADER
#
# which calls NAMESPACE::family::FAMILY::register_<file stem>(registry) of each member in alphabetical order. No list to
# edit, and no static initialiser for the linker to drop. (The inner namespace `family` leaves the name NAMESPACE::FAMILY
# free for the function that returns the registry.)
function(dnas_family target namespace family entry header)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${family}/*.cpp)
  list(SORT sources)
  set(declarations "")
  set(calls "")
  foreach(source IN LISTS sources)
    get_filename_component(stem ${source} NAME_WE)
    string(APPEND declarations "void register_${stem}(Registry<${entry}>& registry);\n")
    string(APPEND calls "  family::${family}::register_${stem}(registry);\n")
  endforeach()
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/register_${family}.cpp)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/family.cpp.in ${generated} @ONLY)
  target_sources(${target} PRIVATE ${sources} ${generated})
endfunction()
