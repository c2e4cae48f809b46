# sluice_suppress_false_races(TARGET): what ThreadSanitizer would report wrongly in this program is not
# reported. Without it the build is not changed.
function(sluice_suppress_false_races target)
  if(SLUICE_SANITIZE MATCHES "thread")
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/tsan_suppressions.cc)
  endif()
endfunction()
