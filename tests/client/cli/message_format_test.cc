#include "client/cli/message_format.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

std::string Formatted(const MessageView& message, MessageFormat format) {
  std::string out;
  AppendMessage(message, format, &out);
  return out;
}

TEST(MessageFormatTest, ReadableIsTopicAndPayloadOnALine) {
  EXPECT_EQ(Formatted({.topic = "ticks.IBM", .payload = "187.2"}, {}), "ticks.IBM 187.2\n");
  EXPECT_EQ(Formatted({.topic = "ticks.IBM"}, {}), "ticks.IBM \n");
}

TEST(MessageFormatTest, EscapesOnlyWhenTold) {
  const MessageView message{.topic = "a", .payload = "\x1b[31mred\n"};
  EXPECT_EQ(Formatted(message, {.control = ControlCharacters::kEscape}), "a \\x1b[31mred\\n\n");
  EXPECT_EQ(Formatted(message, {.control = ControlCharacters::kKeep}), "a \x1b[31mred\n\n");
}

TEST(MessageFormatTest, RawIsThePayloadByteForByte) {
  std::string payload;
  for (int byte = 0; byte < 256; ++byte) payload.push_back(static_cast<char>(byte));
  const MessageFormat raw{
      .style = MessageStyle::kRaw, .control = ControlCharacters::kEscape, .colour = Colour::kYes};
  EXPECT_EQ(Formatted({.topic = "a", .payload = payload}, raw), payload + "\n");
  EXPECT_EQ(Formatted({.topic = "a"}, raw), "\n");
}

TEST(MessageFormatTest, ColourStandsAroundTheTopicOnly) {
  EXPECT_EQ(Formatted({.topic = "a", .payload = "b"}, {.colour = Colour::kYes}), "\x1b[36ma\x1b[0m b\n");
}

TEST(MessageFormatTest, JsonHoldsEverything) {
  const MessageFormat json{.style = MessageStyle::kJson};
  EXPECT_EQ(Formatted({.topic = "a", .payload = "one\n\"two\""}, json),
            R"({"topic":"a","payload":"one\n\"two\""})"
            "\n");
  EXPECT_EQ(Formatted({.topic = "a",
                       .payload = "b",
                       .reply_to = "$inbox.x.1",
                       .headers = {{.name = "unit", .value = "usd"}, {.name = "unit", .value = ""}}},
                      json),
            R"({"topic":"a","payload":"b","reply_to":"$inbox.x.1","headers":[{"name":"unit","value":"usd"},)"
            R"({"name":"unit","value":""}]})"
            "\n");
}

TEST(MessageFormatTest, JsonOfWhatIsNotTextIsBase64) {
  EXPECT_EQ(
      Formatted({.topic = "a", .payload = std::string_view("\xff\x00", 2)}, {.style = MessageStyle::kJson}),
      R"({"topic":"a","payload_base64":"/wA="})"
      "\n");
}

}  // namespace
}  // namespace sluice::cli
