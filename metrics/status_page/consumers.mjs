// The table of consumers. A row lives as long as its subscription is shown, so the focus and what is open stay.

import {Bar, NO_NAME, arrange, byId, make, makeName, setAttribute, setName, setShown, setText} from "./dom.mjs";
import {COLUMNS} from "./selection.mjs";
import {bytesText, causeHint, causeText, countText, durationText, limitText, limitValueText, policyText, stateText,
        timeText, timeToLimitText} from "./words.mjs";

export class ConsumersView {
  // onSort(key): somebody has chosen a column.
  constructor(onSort) {
    this.#body = byId("consumer-rows");
    this.#headers = COLUMNS.map((column) => {
      const button = make("button", {type: "button", class: "sort", "data-sort": column.key}, column.title,
                          make("span", {class: "sort-sign", "aria-hidden": "true"}));
      button.addEventListener("click", () => onSort(column.key));
      return make("th", {scope: "col", role: "columnheader"}, button);
    });
    byId("consumer-columns").replaceChildren(...this.#headers);
  }

  // `consumers`: as they shall be shown. `now`: of the broker's clock, in ms.
  show(consumers, sort, now) {
    COLUMNS.forEach((column, i) => {
      const direction = column.key !== sort.key ? "none" : sort.direction > 0 ? "ascending" : "descending";
      setAttribute(this.#headers[i], "aria-sort", direction);
    });
    const rows = new Map();
    for (const consumer of consumers) {
      const row = this.#rows.get(consumer.id) ?? new Row();
      row.show(consumer, now);
      rows.set(consumer.id, row);
    }
    this.#rows = rows;
    arrange(this.#body, [...rows.values()].flatMap((row) => [row.element, row.details.element]));
  }

  #body;
  #headers;
  #rows = new Map();
}

let rowsMade = 0;

class Row {
  constructor() {
    const id = `details-${++rowsMade}`;
    this.details = new Details(id);
    this.#name = makeName();
    this.#open = make("button", {type: "button", class: "open", "aria-expanded": "false", "aria-controls": id},
                      make("span", {class: "open-sign", "aria-hidden": "true"}), this.#name);
    this.#address = makeName("address");
    this.#filter = makeName("filter");
    this.#state = make("span", {class: "state"});
    this.#bar = new Bar("Limit used");
    const who = make("th", {scope: "row", role: "rowheader", class: "who"}, this.#open,
                     make("div", {class: "who-more"}, this.#filter, " ", this.#address));
    const cell = (title, ...children) =>
      make("td", {role: "cell", "data-title": title}, make("span", {class: "cell"}, ...children));
    this.#cells = Object.fromEntries(
        ["cause", "time", "age", "dropped", "since"].map((key) => [key, make("span", {"data-cell": key})]));
    this.element = make(
        "tr", {role: "row", class: "consumer"}, who, cell("State", this.#state), cell("Limit used", this.#bar.element),
        cell("Cause", this.#cells.cause), cell("Time to limit", this.#cells.time),
        cell("Oldest message", this.#cells.age), cell("Dropped", this.#cells.dropped),
        cell("Slow since", this.#cells.since));
    // The button is for the keyboard; with a mouse the whole row is one, except to mark text.
    this.element.addEventListener("click", (event) => {
      if (event.target.closest("button") === this.#open || getSelection().isCollapsed) this.#toggle();
    });
  }

  show(consumer, now) {
    setName(this.#name, consumer.client_name, NO_NAME);
    setName(this.#address, consumer.address);
    setName(this.#filter, consumer.filter);
    setText(this.#state, stateText(consumer.state));
    setAttribute(this.#state, "data-state", consumer.state);
    this.#bar.set(consumer.limit_share, limitText(consumer));
    const lags = consumer.lagging_since !== undefined;
    setText(this.#cells.cause, lags || consumer.cause !== "" ? causeText(consumer.cause) : "–");
    setText(this.#cells.time, timeToLimitText(consumer));
    setText(this.#cells.age, consumer.pending_messages > 0 ? durationText(consumer.oldest_age_seconds) : "–");
    setText(this.#cells.dropped, countText(consumer.dropped));
    setText(this.#cells.since, lags ? sinceText(consumer.lagging_since, now) : "–");
    this.#consumer = consumer;
    this.#now = now;
    if (this.#isOpen) this.details.show(consumer, now);
  }

  #consumer;
  #now;
  #isOpen = false;
  #open;
  #name;
  #address;
  #filter;
  #state;
  #bar;
  #cells;

  #toggle() {
    this.#isOpen = !this.#isOpen;
    this.#open.setAttribute("aria-expanded", String(this.#isOpen));
    setShown(this.details.element, this.#isOpen);
    if (this.#isOpen) this.details.show(this.#consumer, this.#now);
  }
}

function sinceText(time, now) {
  const at = Date.parse(time);
  return `${timeText(at, now)}, ${durationText((now - at) / 1000)}`;
}

const limitOrNone = (limit, value) => (value > 0 ? limitValueText(limit, value) : "none");

function limitsText(limits) {
  if (limits === undefined) return "not known";
  return [
    limitOrNone("pending_bytes", limits.pending_bytes_max),
    limitOrNone("pending_messages", limits.pending_messages_max),
    limitOrNone("pending_age", limits.pending_age_max_seconds),
  ].join(" · ");
}

function softLimitsText(limits) {
  if (limits === undefined) return "not known";
  const set = [
    ["pending_bytes", limits.pending_bytes_soft],
    ["pending_messages", limits.pending_messages_soft],
    ["pending_age", limits.pending_age_soft_seconds],
  ].filter(([, value]) => value > 0);
  if (set.length === 0) return "none";
  return `${set.map(([limit, value]) => limitValueText(limit, value)).join(" · ")}, ` +
      `for ${durationText(limits.soft_time_seconds)}`;
}

const rateOf = (value) => `${bytesText(value)}/s`;

// Everything that the API tells of a consumer. `named`: a client has a say in it.
const DETAILS = [
  {title: "Client", named: (consumer) => consumer.client_name || NO_NAME},
  {title: "Address", named: (consumer) => consumer.address},
  {title: "Filter", named: (consumer) => consumer.filter},
  {title: "Queue group", named: (consumer) => consumer.queue_group || "none"},
  {title: "Id", named: (consumer) => consumer.id},
  {title: "Session", named: (consumer) => consumer.session},
  {title: "Subscription", text: (consumer) => String(consumer.subscription)},
  {title: "State", text: (consumer) => stateText(consumer.state)},
  {title: "Policy", text: (consumer) =>
    policyText(consumer.policy) + (consumer.observed ? " (limits and policy are only observed)" : "")},
  {title: "Cause", text: (consumer) => `${causeText(consumer.cause)}. ${causeHint(consumer.cause)}`.trim()},
  {title: "Waits", text: (consumer) =>
    `${bytesText(consumer.pending_bytes)} · ${countText(consumer.pending_messages)} messages · ` +
    `oldest ${durationText(consumer.oldest_age_seconds)}`},
  {title: "Nearest limit", text: limitText},
  {title: "Time to limit", text: timeToLimitText},
  {title: "Limits", text: (consumer) => limitsText(consumer.limits)},
  {title: "Soft limits", text: (consumer) => softLimitsText(consumer.limits)},
  {title: "In the kernel", text: (consumer) => bytesText(consumer.kernel_bytes)},
  {title: "Takes", text: (consumer) => rateOf(consumer.drain_bytes_per_second)},
  {title: "Is given", text: (consumer) => rateOf(consumer.feed_bytes_per_second)},
  {title: "Matched", text: (consumer) => countText(consumer.matched)},
  {title: "Delivered", text: (consumer) => countText(consumer.delivered)},
  {title: "Dropped", text: (consumer) => countText(consumer.dropped)},
  {title: "Conflated", text: (consumer) => countText(consumer.conflated)},
  {title: "Gaps told", text: (consumer) => countText(consumer.gaps)},
  {title: "Connected since", time: (consumer) => consumer.connected_since},
  {title: "Socket full since", time: (consumer) => consumer.stalled_since},
  {title: "Slow since", time: (consumer) => consumer.lagging_since},
];

class Details {
  constructor(id) {
    const list = make("dl");
    this.#values = DETAILS.map(({title, named}) => {
      const value = named ? makeName() : make("span");
      list.append(make("div", {}, make("dt", {}, title), make("dd", {}, value)));
      return value;
    });
    this.element = make("tr", {id, role: "row", class: "details"},
                        make("td", {role: "cell", colspan: String(COLUMNS.length)}, list));
    this.element.hidden = true;
  }

  show(consumer, now) {
    DETAILS.forEach(({named, text, time}, i) => {
      if (named) {
        setName(this.#values[i], named(consumer));
      } else if (text) {
        setText(this.#values[i], text(consumer));
      } else {
        const at = time(consumer);
        setText(this.#values[i], at === undefined ? "–" : sinceText(at, now));
      }
    });
  }

  #values;
}
