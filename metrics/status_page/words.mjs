// What the page says: numbers, times, causes and states in words. Pure functions; nothing here knows the document.

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const COUNT_UNITS = ["", "k", "M", "G", "T"];

// Three significant digits, or all of them when there are more before the point.
function threeDigits(value) {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return String(Number(value.toFixed(digits)));
}

// 0.25 becomes "0.25", 4096 "4,096", 131072 "131,072" and 12.34e6 "12.3 M".
export function countText(value) {
  if (!Number.isFinite(value)) return "?";
  if (value < 0) return `-${countText(-value)}`;
  if (value < 100) return threeDigits(value);
  if (value < 999_999.5) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
  let unit = 0;
  while (value >= 999.5 && unit + 1 < COUNT_UNITS.length) {
    value /= 1000;
    ++unit;
  }
  return `${threeDigits(value)} ${COUNT_UNITS[unit]}`;
}

export function bytesText(value) {
  if (!Number.isFinite(value)) return "?";
  if (value < 0) return `-${bytesText(-value)}`;
  let unit = 0;
  while (value >= 1023.5 && unit + 1 < BYTE_UNITS.length) {
    value /= 1024;
    ++unit;
  }
  return `${threeDigits(value)} ${BYTE_UNITS[unit]}`;
}

// "1 message", "2 messages".
export function counted(value, noun, plural = `${noun}s`) {
  return `${countText(value)} ${value === 1 ? noun : plural}`;
}

export function percentText(share) {
  if (!Number.isFinite(share)) return "?";
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)} %`;
}

// The two largest units: "0.3 s", "12 s", "1 min 30 s", "2 h 5 min", "3 d 4 h".
export function durationText(seconds) {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 0) seconds = 0;
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
  let rest = Math.round(seconds);
  if (rest < 60) return `${rest} s`;
  if (rest >= 3600) rest = Math.round(rest / 60) * 60;
  if (rest >= 86_400) rest = Math.round(rest / 3600) * 3600;
  const parts = [];
  for (const [unit, length] of [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

// In the reader's time zone, with the date unless it is the same day as `now` (both in ms since the epoch).
export function timeText(at, now) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "?";
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

// Controls, what changes the direction of the text around it, what is not seen at all, spaces that look like others,
// and what no font has: a name with these can look like another one.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}/u;

// Cuts a text into what can be shown as it is and what cannot, which stands as its escape:
// "a<U+202E>b" gives [{text: "a"}, {text: "\\u{202e}", escaped: true}, {text: "b"}].
export function visibleParts(text) {
  const parts = [];
  for (const character of String(text)) {
    const escaped = INVISIBLE.test(character);
    const shown = escaped ? `\\u{${character.codePointAt(0).toString(16)}}` : character;
    const last = parts.at(-1);
    if (last && last.escaped === escaped) {
      last.text += shown;
    } else {
      parts.push({text: shown, escaped});
    }
  }
  return parts;
}

// The same as one string, for attributes.
export function visibleText(text) {
  return visibleParts(text).map((part) => part.text).join("");
}

// An address of a page that a link may lead to, or null: only http and https, so no script.
export function linkTarget(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

// The broker's words (protocol/admin.proto), in ours. A word that is not known here is shown as it is.

const CAUSES = {
  application: "does not read",
  network_slow: "its network is slow",
  network_lossy: "its network loses packets",
  over_subscribed: "is sent more than it can take",
};

const CAUSE_HINTS = {
  application: "Look at the consumer: a handler that hangs, a stopped process.",
  network_slow: "A narrower filter, conflate, or a better line helps.",
  network_lossy: "Look at the line.",
  over_subscribed: "A narrower filter, conflate, a queue group, or a faster consumer helps.",
};

const STATES = {
  blocking: "holds up its publishers",
  shedding: "loses messages",
  lagging: "falls behind",
  out_of_credit: "takes no more for now",
  stalled: "its socket is full",
  ok: "keeps up",
};

// The worst first.
const STATE_ORDER = ["blocking", "shedding", "lagging", "out_of_credit", "stalled", "ok"];
const SLOW_STATES = new Set(["blocking", "shedding", "lagging"]);

const POLICIES = {
  disconnect: "disconnect: it is cut over its limit",
  drop_oldest: "drop-oldest: its oldest messages go over its limit",
  drop_newest: "drop-newest: what arrives goes over its limit",
  conflate: "conflate: only the newest message of each topic waits",
  block: "block: its publishers wait over its limit",
};

const REASONS = {
  unsubscribed: "it unsubscribed",
  count_reached: "it had the messages it wanted",
  client_closed: "its client closed",
  client_reset: "its connection was reset",
  pending_bytes: "too many bytes waited",
  pending_messages: "too many messages waited",
  pending_age: "its oldest message waited too long",
  session_bytes: "too many bytes waited for its session",
  write_timeout: "its socket took nothing in time",
  control_bytes: "it did not read its answers",
  memory_budget: "the memory budget was used up",
  block_timeout: "its publishers had waited too long",
  ping_timeout: "it gave no sign of life",
  protocol_error: "it broke the protocol",
  shutdown: "the broker ended",
  kicked: "an operator ended it",
};

const word = (words, key) => (Object.hasOwn(words, key) ? words[key] : String(key));

export function causeText(cause) {
  return cause === "" || cause === "unknown" ? "not known" : word(CAUSES, cause);
}

export function causeHint(cause) {
  return Object.hasOwn(CAUSE_HINTS, cause) ? CAUSE_HINTS[cause] : "";
}

export function stateText(state) {
  return word(STATES, state);
}

// A state that is not known counts as worse than all others.
export function stateRank(state) {
  return STATE_ORDER.indexOf(state);
}

export function isSlow(consumer) {
  return SLOW_STATES.has(consumer.state);
}

export function policyText(policy) {
  return word(POLICIES, policy);
}

export function reasonText(reason) {
  return word(REASONS, reason);
}

export function outcomeText(episode) {
  switch (episode.outcome) {
    case "going_on":
      return "goes on";
    case "recovered":
      return "recovered";
    case "disconnected":
      return `cut: ${reasonText(episode.reason)}`;
    case "ended":
      return `ended: ${reasonText(episode.reason)}`;
    default:
      return String(episode.outcome);
  }
}

// A value of that limit: "8 MiB", "131,072 messages", "60 s".
export function limitValueText(limit, value) {
  switch (limit) {
    case "pending_bytes":
      return bytesText(value);
    case "pending_messages":
      return counted(value, "message");
    case "pending_age":
      return durationText(value);
    default:
      return countText(value);
  }
}

// "82 % of 8 MiB".
export function limitText(consumer) {
  if (consumer.nearest_limit === "") return "no limit";
  return `${percentText(consumer.limit_share)} of ` +
      limitValueText(consumer.nearest_limit, consumer.nearest_limit_value);
}

const isOver = (consumer) =>
  consumer.state === "blocking" || consumer.state === "shedding" || consumer.limit_share >= 1;

export function timeToLimitText(consumer) {
  if (consumer.nearest_limit === "") return "no limit";
  if (isOver(consumer)) return "over it now";
  if (consumer.time_to_limit_seconds === undefined) return "not as it goes now";
  if (consumer.time_to_limit_seconds < 1) return "in less than 1 s";
  if (consumer.time_to_limit_seconds > 3600) return "in more than an hour";
  return `in about ${durationText(Math.round(consumer.time_to_limit_seconds))}`;
}

// What its policy makes of a consumer at its limit, as the end of "the nearest ...".
function fateText(consumer) {
  if (consumer.observed) return "reaches its limit, which is only observed,";
  switch (consumer.policy) {
    case "drop_oldest":
    case "drop_newest":
      return "loses messages";
    case "block":
      return "holds up its publishers";
    case "conflate":
      return "reaches its limit";
    default:
      return "is cut";
  }
}

// One sentence on how things are. `level`: "well", "watch" (nothing is lost yet) or "act". `spoken` is the same
// without what changes every second, for those to whom it is read out.
export function verdict(broker, list, {ofOneTopic = false} = {}) {
  const slow = list.consumers.filter(isSlow);
  // The broker counts all, but not at the moment of the list.
  const isPart = ofOneTopic || list.consumers.length < list.subscriptions || list.shards_missing > 0;
  const count = isPart ? Math.max(slow.length, broker.lagging_subscriptions) : slow.length;
  const used = broker.memory_budget_bytes > 0 ? broker.retained_bytes / broker.memory_budget_bytes : 0;
  const sentences = [];
  let level = "well";
  const add = (itsLevel, text, spoken = text) => {
    if (level !== "act") level = itsLevel;
    sentences.push({text, spoken});
  };

  if (broker.state === "draining") add("watch", "The broker is draining: its clients are sent away.");
  if (used >= 0.9) {
    add("act", `${percentText(used)} of the memory budget is used.`, "The memory budget is nearly used up.");
  }
  if (count > 0) {
    const subject = count === 1 ? "1 consumer is slow" : `${countText(count)} consumers are slow`;
    const now = slow.filter((consumer) => consumer.state !== "lagging");
    const ending = slowEnding(slow, now, count);
    add(now.length > 0 ? "act" : "watch", `${subject}${ending}.`, `${subject}.`);
  }
  if (list.shards_missing > 0) {
    add("watch", `${counted(list.shards_missing, "shard")} did not answer in time.`);
  }
  if (sentences.length === 0) add("well", "All is well.");
  return {
    level,
    text: sentences.map((sentence) => sentence.text).join(" "),
    spoken: sentences.map((sentence) => sentence.spoken).join(" "),
  };
}

function slowEnding(slow, now, count) {
  const parts = [];
  const blocking = now.filter((consumer) => consumer.state === "blocking").length;
  const shedding = now.length - blocking;
  const some = (part, verb, verbs) => {
    if (part === 0) return;
    if (count === 1) parts.push(`and ${verb}`);
    else parts.push(part === 1 ? `1 ${verb}` : `${countText(part)} ${verbs}`);
  };
  some(blocking, "holds up its publishers", "hold up their publishers");
  some(shedding, "loses messages", "lose messages");
  const coming = slow.filter((consumer) => !isOver(consumer) && consumer.time_to_limit_seconds !== undefined)
      .sort((a, b) => a.time_to_limit_seconds - b.time_to_limit_seconds)[0];
  if (coming !== undefined) {
    parts.push(`${count === 1 ? "it" : "the nearest"} ${fateText(coming)} ${timeToLimitText(coming)}`);
  }
  if (parts.length === 0) return "";
  return count === 1 && now.length > 0 ? ` ${parts.join(", ")}` : `, ${parts.join(", ")}`;
}
