// One message as views into bytes that somebody else keeps: what a publisher hands to the library, and what a
// subscriber gets from it.
//
//   client->Publish({.topic = "ticks.nyse.IBM", .payload = "187.2", .headers = {{"unit", "usd"}}});
//
// Thread safety: plain data. The views are valid as long as the bytes behind them; who hands out a
// MessageView says how long that is.
#ifndef SLUICE_PROTOCOL_MESSAGE_VIEW_H_
#define SLUICE_PROTOCOL_MESSAGE_VIEW_H_

#include <string_view>
#include <vector>

namespace sluice {

struct HeaderView {
  std::string_view name;
  std::string_view value;
};

struct MessageView {
  std::string_view topic;
  std::string_view payload = {};
  // Where a reply is wanted; empty: none.
  std::string_view reply_to = {};
  std::vector<HeaderView> headers = {};
};

}  // namespace sluice

#endif  // SLUICE_PROTOCOL_MESSAGE_VIEW_H_
