#include "broker/core/left_out_books.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(LeftOutBooksTest, CountsPerSubscriptionAndInAll) {
  LeftOutBooks books;
  books.AddDropped(1, 3);
  books.AddDropped(1, 2);
  books.AddConflated(2, 7);
  books.AddDropped(3, 0);
  EXPECT_EQ(books.Of(1).dropped, 5u);
  EXPECT_EQ(books.Of(1).conflated, 0u);
  EXPECT_EQ(books.Of(2).conflated, 7u);
  EXPECT_EQ(books.Of(3).dropped, 0u);
  EXPECT_EQ(books.total().dropped, 5u);
  EXPECT_EQ(books.total().conflated, 7u);
}

TEST(LeftOutBooksTest, OneThatIsGoneStaysInTheTotalAndItsIdBeginsAnew) {
  LeftOutBooks books;
  books.Forget(1);
  books.AddDropped(1, 3);
  books.Forget(1);
  EXPECT_EQ(books.Of(1).dropped, 0u);
  books.AddDropped(1, 1);
  EXPECT_EQ(books.Of(1).dropped, 1u);
  EXPECT_EQ(books.total().dropped, 4u);
}

TEST(LeftOutBooksTest, CostsAPointerUntilSomethingIsLeftOut) {
  EXPECT_EQ(sizeof(LeftOutBooks), sizeof(void*));
  const LeftOutBooks books;
  EXPECT_EQ(books.Of(1).dropped, 0u);
  EXPECT_EQ(books.total().conflated, 0u);
}

}  // namespace
}  // namespace sluice
