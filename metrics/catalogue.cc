#include "metrics/catalogue.h"

namespace sluice {
namespace {

using S = ShardCounters;

constexpr MetricInfo kCatalogue[] = {
    {"sluice_connections_accepted_total", "Connections accepted.", &S::connections_accepted},
    {"sluice_connections_refused_total", "Connections turned away because the maximum was reached.",
     &S::connections_refused},
    {"sluice_accept_errors_total",
     "Connections that could not be accepted: out of file descriptors or memory of the system.",
     &S::accept_errors},
    {"sluice_connections_open", "Connections open now.", &S::connections_open},
    {"sluice_shard_connections", "Connections open now, by the shard that serves them.", &S::connections_open,
     MetricSeries::kPerShard},
    {"sluice_sessions_ended_total", "Sessions ended, by reason.", &S::sessions_ended,
     MetricSeries::kPerReason},
    {"sluice_slow_consumer_disconnects_total",
     "Sessions cut because they did not keep up, by the limit that they went over.", &S::sessions_ended,
     MetricSeries::kPerSlowReason},
    {"sluice_subscriptions", "Subscriptions in force now.", &S::subscriptions},
    {"sluice_subscriptions_cut_total",
     "Subscriptions ended because their client granted no credit, by the limit that they went over.",
     &S::subscriptions_cut, MetricSeries::kPerSlowReason},
    {"sluice_errors_sent_total", "Error frames sent to clients.", &S::errors_sent},

    {"sluice_messages_received_total", "Messages that publishers sent and the broker took.", &S::messages_in},
    {"sluice_message_received_bytes_total", "Bytes of the messages received, as framed on the wire.",
     &S::message_bytes_in},
    {"sluice_messages_delivered_total",
     "Messages sent to subscriptions: each counts once per subscription, when the kernel took its last byte.",
     &S::messages_out},
    {"sluice_message_delivered_bytes_total", "Bytes of the messages delivered, as framed on the wire.",
     &S::message_bytes_out},
    {"sluice_messages_dropped_total",
     "Messages that matched a subscription and were not sent to it: dropped by its policy or lost with its "
     "session.",
     &S::messages_dropped},
    {"sluice_messages_conflated_total",
     "Messages that were not sent because a newer one of the same topic or key took their place.",
     &S::messages_conflated},
    {"sluice_publishes_refused_total", "Publishes answered with an Error.", &S::publish_refused},
    {"sluice_match_cache_hits_total", "Messages whose topic was found in the match cache, or needed none.",
     &S::match_cache_hits},
    {"sluice_match_cache_misses_total", "Messages whose topic had to be matched against the filters.",
     &S::match_cache_misses},

    {"sluice_lagging_episodes_total",
     "Times that a subscription passed 75 % of its nearest limit and its client was warned.",
     &S::lagging_episodes},
    {"sluice_lagging_causes_total",
     "Warnings to a lagging client that said why, by the cause: once per episode, and when the cause "
     "changed.",
     &S::lagging_causes, MetricSeries::kPerCause},
    {"sluice_lagging_subscriptions",
     "Subscriptions that passed 75 % of a limit and have not fallen below 50 % of it since.",
     &S::lagging_subscriptions},
    {"sluice_observed_overflows_total",
     "Times that a subscription went over a limit that is only observed: its policy would have acted.",
     &S::observed_overflows, MetricSeries::kPerSlowReason},
    {"sluice_observed_messages_total",
     "Messages that came for a subscription over a limit that is only observed, and were queued all the "
     "same.",
     &S::observed_messages},
    {"sluice_blocking_subscriptions",
     "Subscriptions with the policy block that went over a limit and have not fallen below 50 % of it since: "
     "who publishes to them waits.",
     &S::blocking_subscriptions},
    {"sluice_pending_bytes", "Bytes queued for subscriptions and not yet taken by the kernel.",
     &S::pending_bytes},
    {"sluice_pending_messages", "Messages queued for subscriptions and not yet taken by the kernel.",
     &S::pending_messages},
    {"sluice_writes_total", "Calls that wrote to a client's socket.", &S::writes},
    {"sluice_write_bytes_total", "Bytes for clients that the kernel took.", &S::write_bytes},
    {"sluice_partial_writes_total", "Writes of which the kernel took only a part.", &S::partial_writes},
    {"sluice_writes_blocked_total", "Writes of which the kernel took nothing (EAGAIN).",
     &S::write_would_block},
    {"sluice_epollout_arms_total", "Times that the broker began to wait for a socket to become writable.",
     &S::epollout_arms},
    {"sluice_epollout_resumes_total",
     "Times that a socket became writable that the broker waited for, and was written to again.",
     &S::epollout_resumes},
    {"sluice_write_stall_duration_seconds",
     "Time from a blocked write until the session's queues were drained.", &S::stall},
    {"sluice_delivery_latency_seconds",
     "Time from the read of a message until the kernel took it for a subscriber, of one write in sixty-four: "
     "of "
     "the oldest message in it.",
     &S::delivery},
    {"sluice_gaps_sent_total",
     "Gaps put into the queue of a subscription: each tells its client, in its place, how many messages are "
     "missing.",
     &S::gaps},
    {"sluice_consumer_events_total",
     "Events about slow consumers that were published under $sys.consumer, since somebody subscribes to "
     "them.",
     &S::consumer_events},

    {"sluice_reads_total", "Calls that read from a client's socket.", &S::reads},
    {"sluice_read_bytes_total", "Bytes read from clients.", &S::read_bytes},
    {"sluice_frames_received_total", "Frames received from clients, of every kind.", &S::frames_in},
    {"sluice_frames_truncated_total", "Frames that a client began and never ended.", &S::frames_truncated},
    {"sluice_client_pauses_total", "Times that the broker stopped reading from a client for a while.",
     &S::clients_paused},
    {"sluice_block_pauses_total",
     "Times that a publisher had to wait because of a consumer with the policy block.", &S::block_paused},
    {"sluice_blocked_publishers", "Publishers that wait now because of a consumer with the policy block.",
     &S::publishers_blocked},
    {"sluice_publisher_blocked_seconds_total",
     "Time that publishers waited because of a consumer with the policy block, added up over them.",
     &S::publishers_blocked_ns, MetricSeries::kOne, MetricUnit::kNanoseconds},

    {"sluice_loop_turns_total", "Turns of the event loop.", &S::turns, MetricSeries::kPerShard},
    {"sluice_loop_turn_duration_seconds",
     "Duration of a turn of the event loop, without the wait for events.", &S::turn, MetricSeries::kPerShard},
    {"sluice_loop_late_turns_total", "Turns that began so late that deadlines were moved.", &S::late_turns,
     MetricSeries::kPerShard},
    {"sluice_loop_lateness_seconds_total", "Time by which late turns moved the deadlines.", &S::lateness_ns,
     MetricSeries::kPerShard, MetricUnit::kNanoseconds},

    {"sluice_mailbox_bytes", "Bytes on their way to another shard.", &S::mailbox_bytes},
    {"sluice_mailbox_slices_sent_total", "Slices of messages handed to another shard.",
     &S::mailbox_slices_sent},
    {"sluice_mailbox_pauses_total", "Times that a publisher had to wait because a mailbox was full.",
     &S::mailbox_paused},

    {"sluice_memory_sheds_total",
     "Times that a shard found the memory over its budget and shed the queues that kept the most alive.",
     &S::memory_sheds},
    {"sluice_memory_pauses_total", "Times that a publisher had to wait because the memory was used up.",
     &S::memory_paused},
};

}  // namespace

std::span<const MetricInfo> Catalogue() { return kCatalogue; }

}  // namespace sluice
