// How many members an aggregate has: lets a test say that a table has a line for each of them.
//
//   struct Pair { int a; std::string b; };
//   static_assert(FieldCount<Pair>() == 2);
//
// Counts how many initializers the aggregate takes. Members may be classes that cannot be copied, and arrays
// as std::array, but not references or built-in arrays.
#ifndef SLUICE_TESTS_SUPPORT_FIELD_COUNT_H_
#define SLUICE_TESTS_SUPPORT_FIELD_COUNT_H_

#include <cstddef>
#include <type_traits>
#include <utility>

namespace sluice::testing {

namespace field_count_internal {

struct Anything {
  template <typename Member>
  operator Member() const;  // NOLINT(google-explicit-constructor): it stands for a member's initializer
};

template <size_t>
using AnythingAt = Anything;

template <typename Aggregate, size_t... index>
constexpr bool TakesInitializers(std::index_sequence<index...>) {
  return requires { Aggregate{AnythingAt<index>{}...}; };
}

}  // namespace field_count_internal

template <typename Aggregate, size_t count = 0>
constexpr size_t FieldCount() {
  static_assert(std::is_aggregate_v<Aggregate>);
  if constexpr (field_count_internal::TakesInitializers<Aggregate>(std::make_index_sequence<count + 1>())) {
    return FieldCount<Aggregate, count + 1>();
  } else {
    return count;
  }
}

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_FIELD_COUNT_H_
