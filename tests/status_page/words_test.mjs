import assert from "node:assert/strict";
import {test} from "node:test";

import * as words from "../../metrics/status_page/words.mjs";
import {broker, consumer, consumers, slow} from "./scenes.mjs";

const MIB = 1 << 20;

function each(name, say, cases) {
  test(name, () => {
    for (const [value, wanted] of cases) assert.equal(say(value), wanted, `of ${value}`);
  });
}

each("counts", words.countText, [
  [0, "0"], [0.25, "0.25"], [9.999, "10"], [12.34, "12.3"], [99.96, "100"], [999, "999"], [4096, "4,096"],
  [131_072, "131,072"], [999_999, "999,999"], [999_999.6, "1 M"], [12_340_000, "12.3 M"], [2 ** 53, "9007 T"],
  [-5, "-5"], [NaN, "?"], [undefined, "?"],
]);

each("bytes", words.bytesText, [
  [0, "0 B"], [1, "1 B"], [1023, "1023 B"], [1024, "1 KiB"], [1536, "1.5 KiB"], [8 * MIB, "8 MiB"],
  [6_547_954, "6.24 MiB"], [1023.7 * 1024, "1 MiB"], [5 * 1024 ** 3, "5 GiB"], [NaN, "?"],
]);

each("shares", words.percentText, [
  [0, "0 %"], [0.0004, "< 0.1 %"], [0.052, "5.2 %"], [0.5, "50 %"], [0.8249, "82 %"], [1.02, "102 %"], [NaN, "?"],
]);

each("durations", words.durationText, [
  [0, "0 s"], [0.34, "0.3 s"], [9.94, "9.9 s"], [9.96, "10 s"], [59.4, "59 s"], [59.6, "1 min"], [60, "1 min"],
  [90, "1 min 30 s"], [3599.7, "1 h"], [7500, "2 h 5 min"], [86_400, "1 d"], [100_000, "1 d 4 h"], [-3, "0 s"],
  [NaN, "?"],
]);

test("nouns", () => {
  assert.equal(words.counted(1, "message"), "1 message");
  assert.equal(words.counted(0, "message"), "0 messages");
  assert.equal(words.counted(2900, "message"), "2,900 messages");
});

test("times of another day have a date", () => {
  const noon = new Date(2026, 10, 30, 12, 3, 4).getTime();
  assert.equal(words.timeText(noon, noon + 3_600_000), "12:03:04");
  assert.equal(words.timeText(noon, noon + 86_400_000), "2026-11-30 12:03:04");
  assert.equal(words.timeText(NaN, noon), "?");
});

each("names: what is not seen, or changes what is, is escaped", words.visibleText, [
  ["screen-1 größe €", "screen-1 größe €"],
  ["", ""],
  ["<b>&amp;", "<b>&amp;"],
  ["a\u202eb", "a\\u{202e}b"],
  ["\u2066a\u2069", "\\u{2066}a\\u{2069}"],
  ["\u200f\u061c", "\\u{200f}\\u{61c}"],
  ["a\tb\nc\0\u001b\u007f\u009b", "a\\u{9}b\\u{a}c\\u{0}\\u{1b}\\u{7f}\\u{9b}"],
  ["a\u00a0b\u3000", "a\\u{a0}b\\u{3000}"],
  ["zero\u200bwidth\ufeff\u00ad", "zero\\u{200b}width\\u{feff}\\u{ad}"],
  ["\u3164\u115f\ufe0f", "\\u{3164}\\u{115f}\\u{fe0f}"],
  ["\u{e0041}\u{f0000}\ud800", "\\u{e0041}\\u{f0000}\\u{d800}"],
  ["שלום 日本 😀", "שלום 日本 😀"],
]);

test("escapes are apart from what looks like one", () => {
  assert.deepEqual(words.visibleParts("a\u202e\u202dz"), [
    {text: "a", escaped: false}, {text: "\\u{202e}\\u{202d}", escaped: true}, {text: "z", escaped: false}]);
  assert.deepEqual(words.visibleParts("\\u{202e}"), [{text: "\\u{202e}", escaped: false}]);
});

each("links", words.linkTarget, [
  ["https://grafana.example/d/1?x=y", "https://grafana.example/d/1?x=y"],
  ["http://127.0.0.1:9090", "http://127.0.0.1:9090/"],
  ["", null], ["javascript:alert(1)", null], [" javascript:alert(1)", null], ["java\nscript:alert(1)", null],
  ["data:text/html,x", null], ["//other.example", null], ["/dashboards", null], ["ftp://x", null],
]);

each("causes", words.causeText, [
  ["application", "does not read"], ["network_slow", "its network is slow"],
  ["network_lossy", "its network loses packets"], ["over_subscribed", "is sent more than it can take"],
  ["", "not known"], ["unknown", "not known"], ["a_new_one", "a_new_one"], ["toString", "toString"],
]);

each("states", words.stateText, [
  ["blocking", "holds up its publishers"], ["shedding", "loses messages"], ["lagging", "falls behind"],
  ["out_of_credit", "takes no more for now"], ["stalled", "its socket is full"], ["ok", "keeps up"],
  ["a_new_one", "a_new_one"],
]);

test("which states are slow", () => {
  const slowOnes = ["blocking", "shedding", "lagging", "out_of_credit", "stalled", "ok"].filter(
      (state) => words.isSlow(consumer({state})));
  assert.deepEqual(slowOnes, ["blocking", "shedding", "lagging"]);
});

test("limits, and the time to them", () => {
  assert.equal(words.limitText(slow(0.82)), "82 % of 8 MiB");
  assert.equal(words.limitText(slow(0.5, {nearest_limit: "pending_age", nearest_limit_value: 60})), "50 % of 1 min");
  assert.equal(words.limitText(slow(0.5, {nearest_limit: "pending_messages", nearest_limit_value: 1})),
               "50 % of 1 message");
  assert.equal(words.limitText(slow(0, {nearest_limit: ""})), "no limit");
  const time = (differences) => words.timeToLimitText(slow(0.8, differences));
  assert.equal(time({time_to_limit_seconds: 12.4}), "in about 12 s");
  assert.equal(time({time_to_limit_seconds: 0.2}), "in less than 1 s");
  assert.equal(time({time_to_limit_seconds: 4000}), "in more than an hour");
  assert.equal(time({}), "not as it goes now");
  assert.equal(time({limit_share: 1}), "over it now");
  assert.equal(time({state: "shedding"}), "over it now");
  assert.equal(time({nearest_limit: ""}), "no limit");
});

test("outcomes", () => {
  const outcome = (word, reason = "") => words.outcomeText({outcome: word, reason});
  assert.equal(outcome("going_on"), "goes on");
  assert.equal(outcome("recovered"), "recovered");
  assert.equal(outcome("disconnected", "pending_bytes"), "cut: too many bytes waited");
  assert.equal(outcome("ended", "unsubscribed"), "ended: it unsubscribed");
  assert.equal(outcome("ended", "a_new_one"), "ended: a_new_one");
  assert.equal(outcome("a_new_one"), "a_new_one");
});

function verdictOf(list, {brokerIs = {}, listIs = {}} = {}) {
  return words.verdict(broker(brokerIs), consumers(list, listIs));
}

test("verdict: all is well", () => {
  assert.deepEqual(verdictOf([]), {level: "well", text: "All is well.", spoken: "All is well."});
  assert.equal(verdictOf([consumer(), consumer({state: "out_of_credit"})]).text, "All is well.");
});

test("verdict: slow consumers, and what will happen to the nearest", () => {
  const text = (...list) => verdictOf(list).text;
  assert.equal(text(slow(0.8)), "1 consumer is slow.");
  assert.equal(text(slow(0.8, {time_to_limit_seconds: 12})), "1 consumer is slow, it is cut in about 12 s.");
  assert.equal(text(slow(0.8, {time_to_limit_seconds: 30}), slow(0.8), slow(0.8, {time_to_limit_seconds: 12})),
               "3 consumers are slow, the nearest is cut in about 12 s.");
  const fate = (differences) => text(slow(0.8, {time_to_limit_seconds: 12, ...differences}));
  assert.equal(fate({policy: "drop_oldest"}), "1 consumer is slow, it loses messages in about 12 s.");
  assert.equal(fate({policy: "block"}), "1 consumer is slow, it holds up its publishers in about 12 s.");
  assert.equal(fate({policy: "conflate"}), "1 consumer is slow, it reaches its limit in about 12 s.");
  assert.equal(fate({observed: true}),
               "1 consumer is slow, it reaches its limit, which is only observed, in about 12 s.");
  assert.equal(verdictOf([slow(0.8, {time_to_limit_seconds: 12})]).level, "watch");
});

test("verdict: what happens already", () => {
  const shedding = slow(0.9, {state: "shedding"});
  const blocking = slow(0.9, {state: "blocking"});
  assert.equal(verdictOf([shedding]).level, "act");
  assert.equal(verdictOf([shedding]).text, "1 consumer is slow and loses messages.");
  assert.equal(verdictOf([blocking]).text, "1 consumer is slow and holds up its publishers.");
  assert.equal(verdictOf([shedding, shedding, blocking]).text,
               "3 consumers are slow, 1 holds up its publishers, 2 lose messages.");
});

test("verdict: the budget, the end, and a list that is a part", () => {
  const full = verdictOf([], {brokerIs: {retained_bytes: 92, memory_budget_bytes: 100}});
  assert.equal(full.text, "92 % of the memory budget is used.");
  assert.equal(full.spoken, "The memory budget is nearly used up.");
  assert.equal(full.level, "act");
  assert.equal(verdictOf([], {brokerIs: {retained_bytes: 92, memory_budget_bytes: 0}}).text, "All is well.");
  assert.equal(verdictOf([], {brokerIs: {state: "draining"}}).text,
               "The broker is draining: its clients are sent away.");
  const part = verdictOf([slow(0.8)], {brokerIs: {lagging_subscriptions: 300}, listIs: {subscriptions: 5000}});
  assert.equal(part.text, "300 consumers are slow.");
  assert.equal(verdictOf([], {brokerIs: {lagging_subscriptions: 1}}).text, "All is well.", "the list is younger");
  const topic = words.verdict(broker({lagging_subscriptions: 4}), consumers([slow(0.8)]), {ofOneTopic: true});
  assert.equal(topic.text, "4 consumers are slow.");
  assert.equal(verdictOf([], {listIs: {shards_missing: 1}}).text, "1 shard did not answer in time.");
});
