import assert from "node:assert/strict";
import {test} from "node:test";

import {Poller} from "../../metrics/status_page/poller.mjs";

// A clock that a test turns, and answers that it gives.
class Stage {
  constructor() {
    this.time = 0;
    this.timers = new Set();
    this.asked = 0;
    this.changes = 0;
    this.answer = () => ({});
    this.poller = new Poller({
      ask: async (signal) => {
        ++this.asked;
        this.signal = signal;
        return this.answer();
      },
      interval_ms: 1000,
      onChange: () => ++this.changes,
      clock: {
        now: () => this.time,
        later: (work, delay_ms) => {
          const timer = {work, at: this.time + delay_ms};
          this.timers.add(timer);
          return timer;
        },
        cancel: (timer) => this.timers.delete(timer),
      },
    });
  }

  async start() {
    this.poller.start();
    await this.settle();
  }

  async settle() {
    for (let i = 0; i < 10; ++i) await Promise.resolve();
  }

  async pass(ms) {
    const end = this.time + ms;
    for (;;) {
      const next = [...this.timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.time = next.at;
      this.timers.delete(next);
      next.work();
      await this.settle();
    }
    this.time = end;
  }
}

test("asks at once, and then every interval", async () => {
  const stage = new Stage();
  await stage.start();
  assert.equal(stage.asked, 1);
  await stage.pass(5000);
  assert.equal(stage.asked, 6);
  assert.equal(stage.changes, 6);
  assert.equal(stage.poller.isStale(), false);
  stage.poller.start();
  await stage.pass(1000);
  assert.equal(stage.asked, 7, "a second start changes nothing");
});

test("failures: ever more seldom, up to 10 s; the last answer and its time stay", async () => {
  const stage = new Stage();
  stage.answer = () => "first";
  await stage.start();
  stage.answer = () => { throw new Error("it cannot be reached"); };
  await stage.pass(1000);
  assert.equal(stage.poller.answer, "first");
  assert.equal(stage.poller.answeredAt, 0);
  assert.equal(stage.poller.failedSince, 1000);
  assert.equal(stage.poller.error, "it cannot be reached");
  assert.equal(stage.poller.isStale(), true);
  assert.equal(stage.poller.isSilent(), true);
  const times = [];
  for (let i = 0; i < 6; ++i) {
    times.push(stage.poller.retryAt - stage.time);
    await stage.pass(stage.poller.retryAt - stage.time);
  }
  assert.deepEqual(times, [1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(stage.poller.failedSince, 1000);
  stage.answer = () => "again";
  await stage.pass(10_000);
  assert.equal(stage.poller.answer, "again");
  assert.equal(stage.poller.failedSince, null);
  assert.equal(stage.poller.error, "");
  assert.equal(stage.poller.isStale(), false);
  stage.answer = () => { throw new Error("x"); };
  await stage.pass(1000);
  assert.equal(stage.poller.retryAt - stage.time, 1000, "patience is new");
});

test("who does not answer is silent, and the last answer stale", async () => {
  const stage = new Stage();
  await stage.start();
  stage.answer = () => new Promise(() => {});
  await stage.pass(3500);
  assert.equal(stage.poller.isStale(), false);
  assert.equal(stage.poller.isSilent(), false);
  await stage.pass(1);
  assert.equal(stage.poller.isStale(), true);
  assert.equal(stage.poller.isSilent(), true);
  assert.equal(stage.poller.failedSince, null);
});

test("who was not asked is not silent, but its last answer is stale", async () => {
  const stage = new Stage();
  await stage.start();
  stage.poller.stop();
  await stage.pass(60_000);
  assert.equal(stage.poller.isStale(), true);
  assert.equal(stage.poller.isSilent(), false);
  stage.answer = () => new Promise(() => {});
  await stage.start();
  assert.equal(stage.poller.isSilent(), false);
  await stage.pass(2501);
  assert.equal(stage.poller.isSilent(), true);
});

test("stopped, it asks for nothing and drops what was on its way", async () => {
  const stage = new Stage();
  let give;
  stage.answer = () => new Promise((resolve) => { give = resolve; });
  await stage.start();
  stage.poller.stop();
  assert.equal(stage.signal.aborted, true);
  give("late");
  await stage.settle();
  assert.equal(stage.poller.answer, null);
  assert.equal(stage.changes, 0);
  await stage.pass(60_000);
  assert.equal(stage.asked, 1);
  stage.answer = () => "new";
  await stage.start();
  assert.equal(stage.poller.answer, "new");
});

test("what has changed is asked for at once, and only once", async () => {
  const stage = new Stage();
  await stage.start();
  await stage.pass(300);
  stage.poller.askNow();
  await stage.settle();
  assert.equal(stage.asked, 2);
  await stage.pass(999);
  assert.equal(stage.asked, 2);
  await stage.pass(1);
  assert.equal(stage.asked, 3);
  stage.poller.stop();
  stage.poller.askNow();
  await stage.pass(5000);
  assert.equal(stage.asked, 3, "not while it is stopped");
});
