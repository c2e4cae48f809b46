// Asks for one thing again and again: every interval while answers come, ever more seldom while they do not.

const RETRY_MS_MAX = 10_000;
// Who has not answered by then is silent.
const PATIENCE_MS = 2_500;

const REAL_CLOCK = {
  now: () => Date.now(),
  later: (work, delay_ms) => setTimeout(work, delay_ms),
  cancel: (timer) => clearTimeout(timer),
};

export class Poller {
  // ask(signal): a promise of the answer, rejected with an Error that has words for people. `onChange` is called
  // after each answer and each failure.
  constructor({ask, interval_ms, onChange, clock = REAL_CLOCK}) {
    this.answer = null;      // the last one
    this.answeredAt = null;  // when it came, in ms since the epoch
    this.failedSince = null; // the first failure after it
    this.error = "";         // of the last failure
    this.retryAt = null;
    this.interval_ms = interval_ms;
    this.#ask = ask;
    this.#onChange = onChange;
    this.#clock = clock;
  }

  // Asks at once, and then until stop(). Without effect while it runs.
  start() {
    if (this.#running) return;
    this.#running = true;
    this.#round();
  }

  // What is on its way is dropped.
  stop() {
    this.#running = false;
    this.#clock.cancel(this.#timer);
    this.#timer = null;
    this.#abort?.abort();
    this.#abort = null;
    this.#askedAt = null;
    this.retryAt = null;
  }

  // As soon as possible: what is asked for has changed, or somebody does not want to wait.
  askNow() {
    if (!this.#running) return;
    this.stop();
    this.start();
  }

  // It was asked, and does not answer.
  isSilent() {
    return this.failedSince !== null ||
        (this.#askedAt !== null && this.#clock.now() - this.#askedAt > PATIENCE_MS);
  }

  // The last answer is not live any more, whether or not it was asked again.
  isStale() {
    if (this.answer === null || this.failedSince !== null) return true;
    return this.#clock.now() - this.answeredAt > this.interval_ms + PATIENCE_MS;
  }

  #ask;
  #onChange;
  #clock;
  #running = false;
  #askedAt = null;  // while an answer is awaited
  #failures = 0;
  #timer = null;
  #abort = null;

  async #round() {
    const abort = new AbortController();
    this.#abort = abort;
    this.#askedAt = this.#clock.now();
    this.retryAt = null;
    let delay_ms = this.interval_ms;
    try {
      const answer = await this.#ask(abort.signal);
      if (this.#abort !== abort) return;
      this.answer = answer;
      this.answeredAt = this.#clock.now();
      this.failedSince = null;
      this.error = "";
      this.#failures = 0;
    } catch (error) {
      if (this.#abort !== abort) return;
      this.failedSince ??= this.#clock.now();
      this.error = error.message;
      delay_ms = Math.max(this.interval_ms, Math.min(RETRY_MS_MAX, 1_000 * 2 ** this.#failures++));
      this.retryAt = this.#clock.now() + delay_ms;
    }
    this.#askedAt = null;
    this.#timer = this.#clock.later(() => this.#round(), delay_ms);
    this.#onChange(this);
  }
}
