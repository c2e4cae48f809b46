// The last minutes of the four numbers, from one answer of /api/broker after the other. Pure: it knows no clock.

const WINDOW_SECONDS = 300;

// Columns of one length, as a chart wants them. A null is a gap: the broker gave no answer, or there is no rate yet.
export class History {
  constructor(windowSeconds = WINDOW_SECONDS) {
    this.windowSeconds = windowSeconds;
    this.clear();
  }

  clear() {
    this.times = [];
    this.in = [];
    this.out = [];
    this.pending = [];
    this.budget = [];
    this.previous = null;
    this.latest = null;
  }

  // `at`: seconds on any clock that goes on. Returns the numbers as of now; those of a first answer have no rates.
  add(at, broker) {
    // Another process: its counters have begun anew.
    if (this.previous !== null && this.previous.started !== broker.started) this.previous = null;
    const rate = this.#rates(broker);
    this.previous = broker;
    this.latest = {
      inMessages: rate("messages_received"),
      inBytes: rate("message_received_bytes"),
      outMessages: rate("messages_delivered"),
      outBytes: rate("message_delivered_bytes"),
      pendingBytes: broker.pending_bytes,
      pendingMessages: broker.pending_messages,
      budgetShare: broker.memory_budget_bytes > 0 ? broker.retained_bytes / broker.memory_budget_bytes : null,
      retainedBytes: broker.retained_bytes,
      budgetBytes: broker.memory_budget_bytes,
    };
    this.#push(at, this.latest.inMessages, this.latest.outMessages, this.latest.pendingBytes,
               this.latest.budgetShare);
    return this.latest;
  }

  // Nothing is known until the next answer, and no rate is taken across.
  gap(at) {
    this.previous = null;
    if (this.times.length > 0 && this.pending.at(-1) !== null) this.#push(at, null, null, null, null);
  }

  // The largest value of a column; 0 when there is none.
  peak(column) {
    return this[column].reduce((most, value) => (value !== null && value > most ? value : most), 0);
  }

  #rates(broker) {
    // Between two of the broker's own moments, so that a slow answer changes nothing.
    const previous = this.previous;
    const seconds = previous === null ? 0 : broker.uptime_seconds - previous.uptime_seconds;
    return (counter) => {
      if (seconds <= 0) return null;
      return Math.max(0, (broker[counter] - previous[counter]) / seconds);
    };
  }

  #push(at, ...values) {
    this.times.push(at);
    [this.in, this.out, this.pending, this.budget].forEach((column, i) => column.push(values[i]));
    let old = 0;
    while (this.times[old] < at - this.windowSeconds) ++old;
    if (old > 0) for (const column of [this.times, this.in, this.out, this.pending, this.budget]) column.splice(0, old);
  }
}
