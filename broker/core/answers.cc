#include "broker/core/answers.h"

#include <utility>

namespace sluice {

void Answers::Ack(uint64_t turn, uint64_t id, uint64_t up_to, std::shared_ptr<PublishTally> tally) {
  answers_.push_back({turn, AckAnswer{id, up_to, std::move(tally)}});
}

void Answers::Pong(uint64_t turn, uint64_t id) { answers_.push_back({turn, PongAnswer{id}}); }

void Answers::Subscribed(uint64_t turn, uint32_t subscription) {
  answers_.push_back({turn, SubscribedAnswer{subscription}});
}

void Answers::Tell(uint64_t turn_done, Subscriber* subscriber) {
  for (; !answers_.empty() && answers_.front().turn <= turn_done; answers_.pop_front()) {
    const Answer& answer = answers_.front();
    if (const auto* subscribed = std::get_if<SubscribedAnswer>(&answer.what)) {
      subscriber->TellSubscribed(subscribed->subscription, answer.turn);
      continue;
    }
    v1::ServerFrame frame;
    if (const auto* pong = std::get_if<PongAnswer>(&answer.what)) {
      frame.mutable_server_pong()->set_id(pong->id);
    } else if (const auto* asked = std::get_if<AckAnswer>(&answer.what)) {
      v1::PublishAck* ack = frame.mutable_publish_ack();
      ack->set_id(asked->id);
      ack->set_up_to(asked->up_to);
      ack->set_messages(asked->tally->messages);
      ack->set_matched(asked->tally->matched);
      ack->set_queued(asked->tally->matched - asked->tally->dropped);
      ack->set_dropped(asked->tally->dropped);
      ack->set_refused(asked->tally->refused);
      ack->set_blocked(asked->tally->blocked);
    }
    subscriber->QueueControl(frame);
  }
  if (answers_.empty()) answers_.clear();  // an idle session keeps no memory for it
}

}  // namespace sluice
