include(GoogleTest)

# sluice_test(NAME file.cc... LINK target... [LABEL unit|e2e|slow] [TIMEOUT seconds])
#
# One GoogleTest binary as one ctest per test case.
#
# sluice_test_with_shards(NAME SHARDS) runs an end-to-end test once more, against brokers with so
# many shards.
function(sluice_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "LINK" ${ARGN})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  sluice_suppress_false_races(${name})
  target_link_libraries(${name} PRIVATE sluice_options ${arg_LINK} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
endfunction()

function(sluice_test_with_shards name shards)
  gtest_discover_tests(${name} TEST_SUFFIX .${shards}Shards TEST_LIST ${name}_${shards}_shards
                       DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS e2e TIMEOUT 600 ENVIRONMENT SLUICE_TEST_SHARDS=${shards})
endfunction()
