// Which consumers are shown, and in which order. Pure.

import {isSlow, stateRank} from "./words.mjs";

const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
// What is absent comes last, in both directions.
const byNumber = (a, b, direction) => {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  return direction * (a - b);
};
const at = (time) => (time === undefined ? undefined : Date.parse(time));

// `first`: the direction of the first click. `ask`: what the broker shall sort by, so that the first ones that it
// sends are also the first ones here.
export const COLUMNS = [
  {key: "client", title: "Consumer", first: 1, ask: "pending",
   compare: (a, b, direction) => direction * byText(a.client_name, b.client_name)},
  {key: "state", title: "State", first: 1, ask: "pending",
   compare: (a, b, direction) => direction * (stateRank(a.state) - stateRank(b.state))},
  {key: "share", title: "Limit used", first: -1, ask: "pending",
   compare: (a, b, direction) => direction * (a.limit_share - b.limit_share)},
  {key: "cause", title: "Cause", first: 1, ask: "pending",
   compare: (a, b, direction) =>
     // Without a cause: last.
     (a.cause === "") - (b.cause === "") || direction * byText(a.cause, b.cause)},
  {key: "time", title: "Time to limit", first: 1, ask: "pending",
   compare: (a, b, direction) => byNumber(a.time_to_limit_seconds, b.time_to_limit_seconds, direction)},
  {key: "age", title: "Oldest", first: -1, ask: "age",
   compare: (a, b, direction) => direction * (a.oldest_age_seconds - b.oldest_age_seconds)},
  {key: "dropped", title: "Dropped", first: -1, ask: "dropped",
   compare: (a, b, direction) => direction * (a.dropped - b.dropped)},
  {key: "since", title: "Slow since", first: 1, ask: "stalled",
   compare: (a, b, direction) => byNumber(at(a.lagging_since), at(b.lagging_since), direction)},
];

export const DEFAULT_SORT = {key: "share", direction: -1};

export function columnOf(key) {
  return COLUMNS.find((column) => column.key === key);
}

// A click on a column: its own first direction, then the other one.
export function nextSort(sort, key) {
  return {key, direction: sort.key === key ? -sort.direction : columnOf(key).first};
}

export const SHOWN = {
  slow: isSlow,
  behind: (consumer) => consumer.state !== "ok",
  all: () => true,
};

const contains = (text, wanted) => text.toLowerCase().includes(wanted);

export function consumerMatches(consumer, filterText) {
  const wanted = filterText.trim().toLowerCase();
  return [consumer.client_name, consumer.address, consumer.filter].some((text) => contains(text, wanted));
}

export function episodeMatches(episode, filterText) {
  const wanted = filterText.trim().toLowerCase();
  const named = [...episode.topics, ...episode.publishers].map((share) => share.name);
  return [episode.client_name, episode.address, episode.filter, ...named].some((text) => contains(text, wanted));
}

// A new list; equal ones keep an order of their own, so that rows do not change places for nothing.
export function selectConsumers(consumers, {shown, filterText, sort}) {
  const {compare} = columnOf(sort.key);
  return consumers.filter((consumer) => SHOWN[shown](consumer) && consumerMatches(consumer, filterText))
      .sort((a, b) => compare(a, b, sort.direction) || byText(a.id, b.id));
}
