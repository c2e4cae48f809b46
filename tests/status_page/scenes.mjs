// What a broker could answer, for the tests and the screenshots: everything has the value of a quiet broker, and a
// scene says what is different.

const MIB = 1 << 20;

export const DEFAULT_LIMITS = {
  pending_bytes_max: 8 * MIB,
  pending_messages_max: 131_072,
  pending_age_max_seconds: 60,
  pending_bytes_soft: 0,
  pending_messages_soft: 0,
  pending_age_soft_seconds: 0,
  soft_time_seconds: 30,
};

// So long before now, as the API writes times.
export function ago(seconds, now = Date.now()) {
  return new Date(now - seconds * 1000).toISOString();
}

export function broker(differences = {}) {
  return {
    version: "0.1.0",
    started: ago(7500),
    uptime_seconds: 7500,
    state: "serving",
    listen: "127.0.0.1:7584",
    connections: 12,
    subscriptions: 14,
    lagging_subscriptions: 0,
    blocking_subscriptions: 0,
    blocked_publishers: 0,
    messages_received: 0,
    message_received_bytes: 0,
    messages_delivered: 0,
    message_delivered_bytes: 0,
    messages_dropped: 0,
    messages_conflated: 0,
    slow_consumer_disconnects: 2,
    lagging_episodes: 5,
    pending_bytes: 0,
    pending_messages: 0,
    retained_bytes: 0,
    memory_budget_bytes: 2048 * MIB,
    shards: 1,
    default_limits: DEFAULT_LIMITS,
    session_bytes_max: 32 * MIB,
    write_timeout_seconds: 10,
    dashboard_url: "",
    actions_enabled: false,
    ...differences,
  };
}

// A broker through which so much flows: each answer is as of its moment.
export function running({messagesIn = 0, bytesIn = 0, messagesOut = 0, bytesOut = 0, ...differences} = {}) {
  const started = Date.now() - 7_500_000;
  return () => {
    const uptime = (Date.now() - started) / 1000;
    return broker({
      started: new Date(started).toISOString(),
      uptime_seconds: uptime,
      messages_received: messagesIn * uptime,
      message_received_bytes: bytesIn * uptime,
      messages_delivered: messagesOut * uptime,
      message_delivered_bytes: bytesOut * uptime,
      ...differences,
    });
  };
}

let sessions = 0;

export function consumer(differences = {}) {
  const session = (++sessions).toString(16).padStart(32, "0");
  return {
    id: `${session}.1`,
    session,
    subscription: 1,
    client_name: "screen",
    address: "127.0.0.1:40112",
    filter: "ticks.>",
    queue_group: "",
    policy: "disconnect",
    observed: false,
    state: "ok",
    pending_bytes: 0,
    pending_messages: 0,
    oldest_age_seconds: 0,
    nearest_limit: "pending_bytes",
    nearest_limit_value: 8 * MIB,
    limit_share: 0,
    limits: DEFAULT_LIMITS,
    kernel_bytes: 0,
    cause: "",
    drain_bytes_per_second: 0,
    feed_bytes_per_second: 0,
    matched: 1000,
    delivered: 1000,
    dropped: 0,
    conflated: 0,
    gaps: 0,
    connected_since: ago(3600),
    ...differences,
  };
}

// One that is at this share of its limit for bytes.
export function slow(share, differences = {}) {
  const pending_bytes = Math.round(share * 8 * MIB);
  const pending_messages = Math.round(pending_bytes / 1100);
  return consumer({
    state: "lagging",
    limit_share: share,
    pending_bytes,
    pending_messages,
    oldest_age_seconds: 4.2,
    kernel_bytes: 262_144,
    cause: "application",
    feed_bytes_per_second: 1_300_000,
    matched: pending_messages + 5200,
    delivered: 5200,
    lagging_since: ago(33),
    ...differences,
  });
}

export function consumers(list, differences = {}) {
  return {consumers: list, subscriptions: list.length, shards_missing: 0, ...differences};
}

export function episode(differences = {}) {
  return {
    session: (++sessions).toString(16).padStart(32, "0"),
    subscription: 1,
    client_name: "screen",
    address: "127.0.0.1:40112",
    filter: "ticks.>",
    policy: "disconnect",
    began: ago(600),
    duration_seconds: 42,
    pending_bytes_peak: 7 * MIB,
    pending_messages_peak: 6600,
    limit_share_peak: 0.875,
    nearest_limit: "pending_bytes",
    cause: "application",
    dropped: 0,
    conflated: 0,
    topics: [{name: "ticks.nyse.IBM", share: 0.82}, {name: "ticks.nyse.AAPL", share: 0.11}],
    publishers: [{name: "feed 127.0.0.1:38004", share: 0.97}],
    outcome: "recovered",
    reason: "",
    ...differences,
  };
}

export function episodes(list, differences = {}) {
  return {episodes: list, episodes_total: list.length, ...differences};
}

export function topic(differences = {}) {
  return {
    topic: "ticks.nyse.IBM",
    messages_per_second: 1000,
    bytes_per_second: 1_048_576,
    subscribers: 12,
    publishers: [{name: "feed 127.0.0.1:38004", share: 1}],
    ...differences,
  };
}

export function topics(list) {
  return {topics: list, shards_missing: 0};
}

// All answers of a broker on which nothing is the matter.
export function quiet() {
  return {
    broker: running({messagesIn: 1200, bytesIn: 1200 * 1024, messagesOut: 12_000, bytesOut: 12_000 * 1024}),
    consumers: consumers([consumer(), consumer({client_name: "archive", filter: ">"})]),
    episodes: episodes([]),
    topics: topics([]),
  };
}

// One of everything that a page can show, as on an ordinary bad day.
export function busy() {
  const list = [
    slow(0.91, {client_name: "risk-engine", address: "10.0.3.17:51422", filter: "ticks.>", time_to_limit_seconds: 12.2,
                oldest_age_seconds: 6.8, lagging_since: ago(41)}),
    slow(0.78, {client_name: "dashboard-eu", address: "10.0.8.4:40218", filter: "ticks.*.EUR", policy: "conflate",
                cause: "network_slow", oldest_age_seconds: 2.1, lagging_since: ago(128), conflated: 48_210,
                drain_bytes_per_second: 410_000}),
    slow(0.64, {client_name: "log-tail", address: "10.0.5.90:33810", filter: "logs.>", policy: "drop_oldest",
                state: "shedding", cause: "over_subscribed", oldest_age_seconds: 9.4, lagging_since: ago(610),
                dropped: 182_044, drain_bytes_per_second: 980_000, gaps: 61}),
    slow(0.97, {client_name: "batch-export", address: "10.0.5.21:60122", filter: "orders.>", policy: "block",
                state: "blocking", cause: "network_lossy", oldest_age_seconds: 11, lagging_since: ago(19)}),
    consumer({client_name: "archive", filter: ">", state: "out_of_credit", limit_share: 0.07, pending_bytes: 600_000,
              pending_messages: 550, oldest_age_seconds: 0.2}),
    ...Array.from({length: 9}, (_, i) => consumer({client_name: `pricing-${i + 1}`,
                                                   address: `10.0.2.${i + 10}:5000${i}`})),
  ];
  return {
    broker: running({
      messagesIn: 12_400, bytesIn: 13_600_000, messagesOut: 96_300, bytesOut: 105_900_000, lagging_subscriptions: 4,
      blocking_subscriptions: 1, blocked_publishers: 1, pending_bytes: 28_400_000, pending_messages: 25_800,
      retained_bytes: 31_900_000, memory_budget_bytes: 512 * MIB, slow_consumer_disconnects: 7,
      messages_dropped: 182_044, messages_conflated: 48_210, dashboard_url: "https://grafana.example/d/sluice",
    }),
    consumers: consumers(list),
    episodes: episodes([
      episode({client_name: "batch-export", address: "10.0.5.21:60122", filter: "orders.>", began: ago(19),
               duration_seconds: 19, cause: "network_lossy", outcome: "going_on", limit_share_peak: 1.01,
               topics: [{name: "orders.eu.new", share: 0.71}],
               publishers: [{name: "gateway-2 10.0.1.6:44120", share: 0.9}]}),
      episode({client_name: "risk-engine", address: "10.0.3.17:51422", began: ago(41), duration_seconds: 41,
               outcome: "going_on", limit_share_peak: 0.91}),
      episode({client_name: "log-tail", address: "10.0.5.90:33810", filter: "logs.>", began: ago(610),
               duration_seconds: 610, cause: "over_subscribed", outcome: "going_on", dropped: 182_044,
               limit_share_peak: 1, topics: [{name: "logs.web.access", share: 0.93}]}),
      episode({client_name: "risk-engine", address: "10.0.3.17:50988", began: ago(1260), duration_seconds: 75,
               outcome: "disconnected", reason: "pending_bytes", limit_share_peak: 1.02, dropped: 8215}),
      episode({client_name: "dashboard-eu", address: "10.0.8.4:40007", filter: "ticks.*.EUR", began: ago(2100),
               duration_seconds: 320, cause: "network_slow", conflated: 15_058, limit_share_peak: 0.83}),
      episode({client_name: "log-tail", address: "10.0.5.90:33002", filter: "logs.>", began: ago(3000),
               duration_seconds: 240, cause: "over_subscribed", outcome: "ended", reason: "client_closed",
               limit_share_peak: 0.98, dropped: 51_300}),
    ], {episodes_total: 23}),
    topics: topics([
      topic({topic: "logs.web.access", messages_per_second: 5200, bytes_per_second: 5_600_000, subscribers: 3,
             publishers: [{name: "web-1 10.0.4.2:55001", share: 0.58}, {name: "web-2 10.0.4.3:55188", share: 0.42}]}),
      topic({topic: "ticks.nyse.IBM", messages_per_second: 2100, bytes_per_second: 2_300_000}),
      topic({topic: "orders.eu.new", messages_per_second: 850, bytes_per_second: 930_000, subscribers: 4,
             publishers: [{name: "gateway-2 10.0.1.6:44120", share: 0.9}]}),
    ]),
  };
}
