import assert from "node:assert/strict";
import {test} from "node:test";

import {History} from "../../metrics/status_page/rates.mjs";
import {broker} from "./scenes.mjs";

const at = (uptime_seconds, differences = {}) =>
  broker({started: "2026-01-01T00:00:00Z", uptime_seconds, ...differences});

test("a first answer has no rates", () => {
  const now = new History().add(1, at(10, {messages_received: 500, pending_bytes: 7, retained_bytes: 512,
                                           memory_budget_bytes: 2048}));
  assert.equal(now.inMessages, null);
  assert.equal(now.outBytes, null);
  assert.equal(now.pendingBytes, 7);
  assert.equal(now.budgetShare, 0.25);
});

test("a rate is a difference by the broker's own time, not by when the answers came", () => {
  const history = new History();
  history.add(1, at(10, {messages_received: 500, message_delivered_bytes: 100}));
  const now = history.add(9, at(12, {messages_received: 900, message_delivered_bytes: 300}));
  assert.equal(now.inMessages, 200);
  assert.equal(now.outBytes, 100);
  assert.deepEqual(history.in, [null, 200]);
});

test("no rate across a restart, a gap, or two answers of one moment", () => {
  const history = new History();
  history.add(1, at(10, {messages_received: 500}));
  assert.equal(history.add(2, at(1, {messages_received: 3, started: "2026-01-02T00:00:00Z"})).inMessages, null);
  assert.equal(history.add(3, at(2, {messages_received: 5, started: "2026-01-02T00:00:00Z"})).inMessages, 2);
  assert.equal(history.add(4, at(2, {messages_received: 5, started: "2026-01-02T00:00:00Z"})).inMessages, null);
  history.gap(5);
  history.gap(6);
  assert.equal(history.add(7, at(9, {messages_received: 50, started: "2026-01-02T00:00:00Z"})).inMessages, null);
  assert.deepEqual(history.times, [1, 2, 3, 4, 5, 7]);
  assert.deepEqual(history.pending, [0, 0, 0, 0, null, 0]);
});

test("a counter that goes down makes no negative rate", () => {
  const history = new History();
  history.add(1, at(10, {messages_received: 500}));
  assert.equal(history.add(2, at(11, {messages_received: 400})).inMessages, 0);
});

test("no budget: no share", () => {
  assert.equal(new History().add(1, at(1, {memory_budget_bytes: 0})).budgetShare, null);
});

test("only the window is kept", () => {
  const history = new History(10);
  for (let second = 0; second < 100; ++second) history.add(second, at(second, {pending_bytes: 100 - second}));
  assert.equal(history.times[0], 89);
  assert.equal(history.times.length, 11);
  assert.equal(history.budget.length, 11);
  assert.equal(history.peak("pending"), 11);
  assert.equal(new History().peak("in"), 0);
});
