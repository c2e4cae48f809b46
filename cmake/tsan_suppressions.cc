// What ThreadSanitizer reports wrongly because a library of the distribution was built without it. Linked
// into every program of a build with it.

extern "C" const char* __tsan_default_suppressions();

// absl::Status counts its references partly in the header, which is instrumented, and partly in the library,
// which is not: the drop of the last but one reference is not seen, and freeing by the last looks like a
// race.
extern "C" const char* __tsan_default_suppressions() { return "race:absl/status/status.h\n"; }
