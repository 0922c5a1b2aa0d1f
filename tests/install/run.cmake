# The test `install`: install into an empty prefix, then configure, build and run the consumer against it.
# Expects BUILD_FOLDER, WORK_FOLDER, GENERATOR, BUILD_TYPE, CXX and CXX_FLAGS.

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(prefix ${WORK_FOLDER}/prefix)
set(consumer ${WORK_FOLDER}/build)
file(REMOVE_RECURSE ${prefix} ${consumer})

run(${CMAKE_COMMAND} --install ${BUILD_FOLDER} --prefix ${prefix})
run(${CMAKE_COMMAND}
    -S ${CMAKE_CURRENT_LIST_DIR}
    -B ${consumer}
    -G ${GENERATOR}
    -D CMAKE_PREFIX_PATH=${prefix}
    -D CMAKE_BUILD_TYPE=${BUILD_TYPE}
    -D CMAKE_CXX_COMPILER=${CXX}
    -D CMAKE_CXX_FLAGS=${CXX_FLAGS})
run(${CMAKE_COMMAND} --build ${consumer})
run(${consumer}/consumer)
