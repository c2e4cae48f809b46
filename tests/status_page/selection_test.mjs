import assert from "node:assert/strict";
import {test} from "node:test";

import {COLUMNS, DEFAULT_SORT, consumerMatches, episodeMatches, nextSort, selectConsumers}
  from "../../metrics/status_page/selection.mjs";
import {consumer, episode, slow} from "./scenes.mjs";

const names = (list) => list.map((one) => one.client_name);
const select = (list, {shown = "all", filterText = "", sort = DEFAULT_SORT} = {}) =>
  names(selectConsumers(list, {shown, filterText, sort}));

test("slow, slow or waiting, all", () => {
  const list = [consumer({client_name: "ok"}), consumer({client_name: "full", state: "stalled", limit_share: 0.1}),
                slow(0.8, {client_name: "slow"})];
  assert.deepEqual(select(list, {shown: "slow"}), ["slow"]);
  assert.deepEqual(select(list, {shown: "behind"}), ["slow", "full"]);
  assert.deepEqual(select(list), ["slow", "full", "ok"]);
});

test("the text of the filter is looked for in name, address and filter, whatever its case", () => {
  const one = consumer({client_name: "Screen", address: "10.0.0.1:80", filter: "ticks.>"});
  for (const text of ["screen", " SCREEN ", "0.0.1", "ticks.>", ""]) assert.ok(consumerMatches(one, text), text);
  for (const text of ["x", "screen.", "(", "\\"]) assert.ok(!consumerMatches(one, text), text);
  const past = episode({topics: [{name: "logs.web", share: 1}], publishers: [{name: "feed 10.1.1.1:1", share: 1}]});
  for (const text of ["screen", "LOGS.W", "feed", "127.0.0.1"]) assert.ok(episodeMatches(past, text), text);
  assert.ok(!episodeMatches(past, "nobody"));
});

test("each column sorts in both directions, and what is absent comes last", () => {
  const list = [
    slow(0.9, {id: "1", client_name: "b", state: "lagging", cause: "network_slow", time_to_limit_seconds: 5,
               oldest_age_seconds: 2, dropped: 3, lagging_since: "2026-01-01T00:00:02Z"}),
    slow(0.7, {id: "2", client_name: "a", state: "blocking", cause: "application", time_to_limit_seconds: 9,
               oldest_age_seconds: 1, dropped: 4, lagging_since: "2026-01-01T00:00:01.5Z"}),
    consumer({id: "3", client_name: "c", oldest_age_seconds: 0}),
  ];
  const wanted = {
    client: ["abc", "cba"], state: ["abc", "cba"], share: ["cab", "bac"], cause: ["abc", "bac"], time: ["bac", "abc"],
    age: ["cab", "bac"], dropped: ["cba", "abc"], since: ["abc", "bac"],
  };
  assert.deepEqual(Object.keys(wanted), COLUMNS.map((column) => column.key));
  for (const [key, [up, down]] of Object.entries(wanted)) {
    assert.equal(select(list, {sort: {key, direction: 1}}).join(""), up, `${key}, ascending`);
    assert.equal(select(list, {sort: {key, direction: -1}}).join(""), down, `${key}, descending`);
  }
});

test("equal ones keep their order, and the list of the API is left alone", () => {
  const list = [slow(0.8, {id: "b", client_name: "second"}), slow(0.8, {id: "a", client_name: "first"})];
  assert.deepEqual(select(list), ["first", "second"]);
  assert.deepEqual(select([...list].reverse()), ["first", "second"]);
  assert.deepEqual(names(list), ["second", "first"]);
});

test("a column's first click has its own direction, the next the other one", () => {
  const once = nextSort(DEFAULT_SORT, "dropped");
  assert.deepEqual(once, {key: "dropped", direction: -1});
  assert.deepEqual(nextSort(once, "dropped"), {key: "dropped", direction: 1});
  assert.deepEqual(nextSort(once, "client"), {key: "client", direction: 1});
});
