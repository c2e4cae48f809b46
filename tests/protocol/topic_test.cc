#include "protocol/topic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/names.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

std::string Tokens(size_t n) {
  std::string topic = "t";
  for (size_t i = 1; i < n; ++i) topic += ".t";
  return topic;
}

TEST(Topic, FastAndSpeakingValidationAgree) {
  const std::vector<std::pair<std::string, bool>> cases = {{"a", true},
                                                           {"a.b.c", true},
                                                           {"ticks.nyse.IBM", true},
                                                           {"$inbox.x", true},
                                                           {"grüße.welt", true},
                                                           {"", false},
                                                           {".", false},
                                                           {".a", false},
                                                           {"a.", false},
                                                           {"a..b", false},
                                                           {"a b", false},
                                                           {"a\tb", false},
                                                           {"a\nb", false},
                                                           {"a\x7f", false},
                                                           {std::string("a\0b", 3), false},
                                                           {"a.*", false},
                                                           {"a.>", false},
                                                           {"a*", false},
                                                           {"\xff", false},
                                                           {"a.\xc3", false},
                                                           {Tokens(32), true},
                                                           {Tokens(33), false},
                                                           {std::string(255, 'x'), true},
                                                           {std::string(256, 'x'), false}};
  for (const auto& [topic, valid] : cases) {
    EXPECT_EQ(IsValidTopic(topic), valid) << Printable(topic);
    EXPECT_EQ(ValidateTopic(topic).ok(), valid) << Printable(topic);
    if (valid) {
      EXPECT_TRUE(ValidateFilter(topic).ok()) << Printable(topic);
    }
  }
}

TEST(Topic, SaysWhatIsWrongWithIt) {
  EXPECT_THAT(std::string(ValidateTopic("a..b").message()), HasSubstr("empty token (number 2)"));
  EXPECT_THAT(std::string(ValidateTopic(std::string(300, 'x')).message()), HasSubstr("300 bytes"));
  EXPECT_THAT(std::string(ValidateTopic("a.*").message()), HasSubstr("wildcard"));
}

TEST(TopicFilter, TakesWildcardsOnlyAsWholeTokensAndTheTailLast) {
  for (const char* filter : {"*", ">", "a.*", "a.>", "*.*.>", "$sys.>"})
    EXPECT_TRUE(ValidateFilter(filter).ok()) << filter;
  for (const char* filter : {"a*", "a.b>", ">.a", "*.>.a", "a..>", ""})
    EXPECT_FALSE(ValidateFilter(filter).ok()) << filter;
}

TEST(TopicFilter, MatchesByTheRules) {
  EXPECT_TRUE(FilterMatches("ticks.*.IBM", "ticks.nyse.IBM"));
  EXPECT_FALSE(FilterMatches("ticks.*.IBM", "ticks.IBM"));
  EXPECT_FALSE(FilterMatches("ticks.*.IBM", "ticks.nyse.IBM.bid"));
  EXPECT_TRUE(FilterMatches("ticks.>", "ticks.a.b"));
  EXPECT_FALSE(FilterMatches("ticks.>", "ticks"));
  EXPECT_TRUE(FilterMatches("*", "a"));
  EXPECT_FALSE(FilterMatches("*", "a.b"));
}

TEST(TopicFilter, ThatBeginsWithAWildcardDoesNotSeeTheBrokersTopics) {
  EXPECT_FALSE(FilterMatches(">", "$sys.x"));
  EXPECT_FALSE(FilterMatches("*.x", "$sys.x"));
  EXPECT_TRUE(FilterMatches("$sys.>", "$sys.x"));
  EXPECT_TRUE(FilterMatches("$sys.*", "$sys.x"));
}

TEST(TopicFilter, CoversAnotherThatIsEqualOrNarrower) {
  EXPECT_TRUE(FilterCovers("ticks.>", "ticks.>"));
  EXPECT_TRUE(FilterCovers("ticks.>", "ticks.*.IBM"));
  EXPECT_TRUE(FilterCovers("ticks.*.IBM", "ticks.nyse.IBM"));
  EXPECT_FALSE(FilterCovers("ticks.>", ">"));
  EXPECT_FALSE(FilterCovers("ticks.*", "ticks.>"));
  EXPECT_FALSE(FilterCovers("ticks.nyse.*", "ticks.*.IBM"));
  EXPECT_FALSE(FilterCovers(">", "$sys.x"));
  EXPECT_TRUE(FilterCovers("$sys.>", "$sys.x"));
}

// All of up to three tokens, judged by the topics that they match.
TEST(TopicFilter, CoversWhatItMatchesAtLeastAsMuchOf) {
  const auto all = [](std::initializer_list<std::string> tokens, size_t tokens_max) {
    std::vector<std::string> texts(tokens);
    for (size_t begin = 0, length = 1; length < tokens_max; ++length) {
      const size_t end = texts.size();
      for (; begin < end; ++begin) {
        for (const std::string& token : tokens) texts.push_back(texts[begin] + "." + token);
      }
    }
    return texts;
  };
  const std::vector<std::string> topics = all({"a", "b", "$a"}, 4);
  std::vector<std::string> filters = all({"a", "$a", "*", ">"}, 3);
  std::erase_if(filters, [](const std::string& filter) { return !ValidateFilter(filter).ok(); });
  for (const std::string& wide : filters) {
    for (const std::string& narrow : filters) {
      const bool covers = std::all_of(topics.begin(), topics.end(), [&](const std::string& topic) {
        return FilterMatches(wide, topic) || !FilterMatches(narrow, topic);
      });
      EXPECT_EQ(FilterCovers(wide, narrow), covers) << wide << " " << narrow;
    }
  }
}

TEST(Utf8, FollowsRfc3629) {
  for (const char* good : {"", "ascii only here", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa4"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << Printable(good);
  }
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2x", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "12345678\xc3"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << Printable(bad);
  }
}

}  // namespace
}  // namespace sluice
