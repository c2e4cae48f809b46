# The system's Python with its libraries for protobuf and YAML (Debian: python3, python3-protobuf, python3-yaml), for
# tests that speak the protocol from another language and that read rules and dashboards. Another python3 in front of it
# in PATH usually lacks them.
set(SLUICE_PYTHON /usr/bin/python3 CACHE FILEPATH "Python 3 with protobuf and YAML, for the tests")
execute_process(COMMAND ${SLUICE_PYTHON} -c "import google.protobuf, yaml" RESULT_VARIABLE result
                OUTPUT_QUIET ERROR_QUIET)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${SLUICE_PYTHON} cannot import google.protobuf and yaml: install python3-protobuf and "
                      "python3-yaml, set SLUICE_PYTHON, or leave the tests out with -DSLUICE_BUILD_TESTS=OFF")
endif()

# sluice_python_test(NAME script.py [ARGUMENTS argument...] [ENVIRONMENT name=value...] [LABEL unit|e2e|slow]
#                    [TIMEOUT seconds])
function(sluice_python_test name script)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "ARGUMENTS;ENVIRONMENT" ${ARGN})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  add_test(NAME ${name} COMMAND ${SLUICE_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${arg_ARGUMENTS})
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
                       ENVIRONMENT "PROTOC=$<TARGET_FILE:protobuf::protoc>;${arg_ENVIRONMENT}")
endfunction()
