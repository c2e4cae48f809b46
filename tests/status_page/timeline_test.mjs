import assert from "node:assert/strict";
import {test} from "node:test";

import {layOut} from "../../metrics/status_page/timeline.mjs";
import {ago, episode} from "./scenes.mjs";

const NOW = Date.parse("2026-01-02T12:00:00Z");
const past = (seconds, differences = {}) => episode({began: ago(seconds, NOW), ...differences});
const near = (found, wanted) => assert.ok(Math.abs(found - wanted) < 1e-9, `${found} is not ${wanted}`);

test("nothing: five minutes without lanes", () => {
  assert.deepEqual(layOut([], NOW), {spanSeconds: 300, lanes: [], lanesLeftOut: 0});
});

test("the span is the smallest one that has all", () => {
  for (const [seconds, span] of [[10, 300], [300, 300], [301, 900], [3600, 3600], [20_000, 21_600], [86_401, 604_800],
                                 [9e6, 604_800], [-5, 300]]) {
    assert.equal(layOut([past(seconds)], NOW).spanSeconds, span, `${seconds} s ago`);
  }
});

test("where an episode is", () => {
  const [lane] = layOut([past(150, {duration_seconds: 30})], NOW).lanes;
  near(lane.bars[0].from, 0.5);
  near(lane.bars[0].width, 0.1);
});

test("one that goes on ends now, and a short one is still seen", () => {
  const going = layOut([past(30, {duration_seconds: 1, outcome: "going_on"})], NOW).lanes[0].bars[0];
  near(going.from + going.width, 1);
  const short = layOut([past(0, {duration_seconds: 0})], NOW).lanes[0].bars[0];
  assert.ok(short.width > 0 && short.from + short.width <= 1);
});

test("one that began before the span begins at its edge, and one that ended before is left out", () => {
  const week = 7 * 86_400;
  const {lanes} = layOut([past(2 * week, {client_name: "a", duration_seconds: 1.5 * week}),
                          past(3 * week, {client_name: "b", duration_seconds: week})], NOW);
  near(lanes[0].bars[0].from, 0);
  near(lanes[0].bars[0].width, 0.5);
  assert.deepEqual(lanes[1].bars, []);
});

test("a consumer that came back has one lane; another filter is another one", () => {
  const {lanes} = layOut([past(1, {session: "b"}), past(100, {session: "a"}), past(50, {filter: "logs.>"})], NOW);
  assert.deepEqual(lanes.map((lane) => lane.bars.length), [2, 1]);
});

test("names that run together are different consumers", () => {
  assert.equal(layOut([past(1, {client_name: "a", filter: "b.c"}), past(2, {client_name: "a\",\"b", filter: "c"})],
                      NOW).lanes.length, 2);
});

test("not more lanes than can be read", () => {
  const {lanes, lanesLeftOut} = layOut(Array.from({length: 25}, (_, i) => past(i, {client_name: `c${i}`})), NOW);
  assert.equal(lanes.length, 10);
  assert.equal(lanes[0].episode.client_name, "c0");
  assert.equal(lanesLeftOut, 15);
});
