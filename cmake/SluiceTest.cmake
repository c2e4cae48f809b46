include(GoogleTest)

# sluice_test(NAME file.cc... LINK target... [LABEL unit|e2e|slow] [TIMEOUT seconds])
#
# One GoogleTest binary as one ctest per test case.
function(sluice_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "LINK" ${ARGN})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE sluice_options ${arg_LINK} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
endfunction()
