#include "protocol/names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "tests/support/visible_text.h"

namespace sluice {
namespace {

// "pending_bytes" of REASON_PENDING_BYTES.
std::string WordOf(std::string value, std::string_view prefix) {
  EXPECT_TRUE(value.starts_with(prefix)) << value;
  value.erase(0, prefix.size());
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::tolower(c); });
  return value;
}

// Every value of the enum but the unspecified zero has a name, which is the wire's own in lower case, so that
// whoever greps for one finds the other; an unknown number and the unspecified one have none.
template <typename E, typename IsValid, typename WireName, typename Name>
void ExpectNames(std::string_view prefix, int first, int last, IsValid is_valid, WireName wire_name,
                 Name name) {
  std::set<std::string> seen;
  for (int number = first; number <= last; ++number) {
    const E value = static_cast<E>(number);
    if (!is_valid(number)) {
      EXPECT_EQ(name(value), "unknown") << number;
      continue;
    }
    const std::string word = WordOf(wire_name(value), prefix);
    EXPECT_EQ(name(value), word == "unspecified" ? "unknown" : word);
    EXPECT_TRUE(seen.insert(std::string(name(value))).second) << "twice: " << name(value);
  }
  EXPECT_EQ(name(static_cast<E>(last + 1)), "unknown");
  EXPECT_EQ(name(static_cast<E>(-1)), "unknown");
}

TEST(Names, AreTheWiresOwnInLowerCase) {
  ExpectNames<v1::Reason>("REASON_", v1::Reason_MIN, v1::Reason_MAX, v1::Reason_IsValid,
                          v1::Reason_Name<v1::Reason>, ReasonName);
  ExpectNames<v1::ErrorCode>("ERROR_CODE_", v1::ErrorCode_MIN, v1::ErrorCode_MAX, v1::ErrorCode_IsValid,
                             v1::ErrorCode_Name<v1::ErrorCode>, ErrorCodeName);
  ExpectNames<v1::OverflowPolicy>("OVERFLOW_POLICY_", v1::OverflowPolicy_MIN, v1::OverflowPolicy_MAX,
                                  v1::OverflowPolicy_IsValid, v1::OverflowPolicy_Name<v1::OverflowPolicy>,
                                  OverflowPolicyName);
  ExpectNames<v1::GapCause>("GAP_CAUSE_", v1::GapCause_MIN, v1::GapCause_MAX, v1::GapCause_IsValid,
                            v1::GapCause_Name<v1::GapCause>, GapCauseName);
  ExpectNames<v1::LagCause>("LAG_CAUSE_", v1::LagCause_MIN, v1::LagCause_MAX, v1::LagCause_IsValid,
                            v1::LagCause_Name<v1::LagCause>, LagCauseName);
}

TEST(AllReasons, HoldsEveryReasonOnce) {
  std::set<v1::Reason> listed(AllReasons().begin(), AllReasons().end());
  EXPECT_EQ(listed.size(), AllReasons().size());
  for (int number = 1; number <= v1::Reason_MAX; ++number) {
    EXPECT_EQ(listed.contains(static_cast<v1::Reason>(number)), v1::Reason_IsValid(number)) << number;
  }
  EXPECT_FALSE(listed.contains(v1::REASON_UNSPECIFIED));
}

TEST(IsSlowConsumer, IsTrueForTheLimitsThatACutSessionWentOver) {
  const std::set<v1::Reason> slow = {v1::REASON_PENDING_BYTES, v1::REASON_PENDING_MESSAGES,
                                     v1::REASON_PENDING_AGE,   v1::REASON_SESSION_BYTES,
                                     v1::REASON_WRITE_TIMEOUT, v1::REASON_CONTROL_BYTES,
                                     v1::REASON_MEMORY_BUDGET, v1::REASON_BLOCK_TIMEOUT};
  for (v1::Reason reason : AllReasons()) {
    EXPECT_EQ(IsSlowConsumer(reason), slow.contains(reason)) << ReasonName(reason);
  }
  EXPECT_FALSE(IsSlowConsumer(v1::REASON_UNSPECIFIED));
}

TEST(Printable, LeavesNothingThatAFileOrTerminalWouldObey) {
  EXPECT_EQ(Printable("plain näme €𝄞"), "plain näme €𝄞");
  EXPECT_EQ(Printable("a\nb\x1b[0m\"\\"), "a\\x0ab\\x1b[0m\\x22\\x5c");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b"
            "31m");
  EXPECT_EQ(Printable("a\u2028b\u2029\u202ec\u2066\u200f\u061c"),
            "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9\\xe2\\x80\\xaec\\xe2\\x81\\xa6\\xe2\\x80\\x8f\\xd8\\x9c");
  EXPECT_EQ(Printable("\u2027\u202f\u2065\u206a\u00a0"), "\u2027\u202f\u2065\u206a\u00a0");
  EXPECT_EQ(Printable("\xff"), "\\xff");
  EXPECT_EQ(Printable(std::string(1, '\0')), "\\x00");
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf");           // a slash, overlong
  EXPECT_EQ(Printable("ok\xe2\x82"), "ok\\xe2\\x82");       // cut within a character
  EXPECT_EQ(Printable("\xe2\x82"
                      "A"),
            "\\xe2\\x82"
            "A");
}

TEST(Printable, CutsWhatIsTooLongButNeverACharacter) {
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdef", 0), "...");
  EXPECT_EQ(Printable("", 0), "");
  EXPECT_EQ(Printable("ää", 1), "ä...");
  EXPECT_EQ(Printable("ää", 2), "ä...");
  EXPECT_LE(Printable(std::string(100'000, '\xff')).size(), 4u * 128 + 3);
}

TEST(Printable, IsHarmlessForEveryPairOfBytes) {
  for (int pair = 0; pair < 1 << 16; ++pair) {
    const std::string text = {static_cast<char>(pair >> 8), static_cast<char>(pair)};
    ASSERT_TRUE(IsPrintableForm(Printable(text))) << pair;
  }
}

TEST(Printable, IsHarmlessForRandomBytes) {
  constexpr uint32_t kSeed = 20261103;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string text(random() % 40, '\0');
    // Lead bytes and continuation bytes often, so that whole characters come about.
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? 0x80 | random() % 0x80 : random());
    ASSERT_TRUE(IsPrintableForm(Printable(text, random() % 50))) << "round " << round;
  }
}

}  // namespace
}  // namespace sluice
