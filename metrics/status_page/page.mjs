// The status page: asks the broker, and gives its answers to the views.
//
// What is on the page is live, or is marked as old: when an answer is overdue, when asking was paused, and when the
// page comes back from a hidden tab.

import {BROKER_PATH, EPISODES_PATH, TOPICS_PATH, ask, consumersPath} from "./api.mjs";
import {ConsumersView} from "./consumers.mjs";
import {byId, setAttribute, setName, setShown, setText} from "./dom.mjs";
import {EpisodesView} from "./episodes.mjs";
import {NumbersView} from "./numbers.mjs";
import {Poller} from "./poller.mjs";
import {History} from "./rates.mjs";
import {DEFAULT_SORT, columnOf, episodeMatches, nextSort, selectConsumers} from "./selection.mjs";
import {TopicsView} from "./topics.mjs";
import {countText, counted, durationText, linkTarget, timeText, verdict} from "./words.mjs";

const OFTEN_MS = 1_000;
const SELDOM_MS = 5_000;
// More are never asked for: who has more to look at filters, sorts, or asks the API.
const CONSUMERS_MAX = 200;

const view = {shown: "slow", filterText: "", sort: DEFAULT_SORT, topic: "", paused: false};
const history = new History();

const pollers = {
  broker: new Poller({
    ask: (signal) => ask(BROKER_PATH, signal),
    interval_ms: OFTEN_MS,
    onChange: onBroker,
  }),
  consumers: new Poller({
    ask: (signal) => ask(consumersPath({sort: columnOf(view.sort.key).ask, limit: CONSUMERS_MAX, topic: view.topic}),
                         signal),
    interval_ms: OFTEN_MS,
    onChange: () => { showConsumers(); showVerdict(); },
  }),
  episodes: new Poller({
    ask: (signal) => ask(EPISODES_PATH, signal),
    interval_ms: SELDOM_MS,
    onChange: showEpisodes,
  }),
  topics: new Poller({
    ask: (signal) => ask(TOPICS_PATH, signal),
    interval_ms: SELDOM_MS,
    onChange: showTopics,
  }),
};

const numbers = new NumbersView(history);
const consumers = new ConsumersView(chooseSort);
const episodes = new EpisodesView();
const topics = new TopicsView(chooseTopic);

// By the broker's clock, which its times are of; that of this machine may be another.
function brokerNow() {
  const {answer, answeredAt} = pollers.broker;
  if (answer === null) return Date.now();
  const atAnswer = Date.parse(answer.started) + answer.uptime_seconds * 1000;
  return pollers.broker.isStale() || view.paused ? atAnswer : atAnswer + (Date.now() - answeredAt);
}

function onBroker(poller) {
  if (poller.failedSince === null) {
    history.add(Date.now() / 1000, poller.answer);
    numbers.show();
    showBroker(poller.answer);
  } else {
    history.gap(Date.now() / 1000);
  }
  showVerdict();
}

function showBroker(broker) {
  setText(byId("version"), broker.version);
  setText(byId("uptime"), `up ${durationText(broker.uptime_seconds)}`);
  setText(byId("state"), broker.state);
  setAttribute(byId("state"), "data-state", broker.state);
  setText(byId("connections"), counted(broker.connections, "connection"));
  setText(byId("subscriptions"), counted(broker.subscriptions, "subscription"));
  setText(byId("cut"), `${countText(broker.slow_consumer_disconnects)} cut since start`);
  setName(byId("listen"), broker.listen);
  const dashboard = linkTarget(broker.dashboard_url);
  setShown(byId("dashboard"), dashboard !== null);
  if (dashboard !== null) setAttribute(byId("dashboard"), "href", dashboard);
}

function showConsumers() {
  const {answer} = pollers.consumers;
  if (answer === null) return;
  const selected = selectConsumers(answer.consumers, view);
  consumers.show(selected, view.sort, brokerNow());
  setShown(byId("consumer-table"), selected.length > 0);
  setShown(byId("no-consumers"), selected.length === 0);
  setText(byId("no-consumers"), noConsumersText(answer));
  setText(byId("consumer-count"), `${countText(selected.length)} of ${counted(answer.subscriptions, "subscription")}`);
  const notes = [];
  const count = answer.consumers.length;
  const most = ASKED_FOR[columnOf(view.sort.key).ask];
  if (count < answer.subscriptions && (view.topic === "" || count >= CONSUMERS_MAX)) {
    notes.push(`Only ${countText(count)} are looked at, those with the most ${most}.`);
  }
  if (answer.shards_missing > 0) notes.push(`${counted(answer.shards_missing, "shard")} did not answer in time.`);
  setShown(byId("consumers-left-out"), notes.length > 0);
  setText(byId("consumers-left-out"), notes.join(" "));
}

const ASKED_FOR = {
  pending: "bytes waiting",
  age: "time waited",
  dropped: "messages dropped",
  stalled: "time without taking anything",
};

function noConsumersText(list) {
  if (list.consumers.length === 0) return view.topic === "" ? "Nobody has subscribed." : "Nobody receives this topic.";
  if (view.filterText.trim() !== "") return "None matches the filter.";
  return view.shown === "slow" ? "No consumer is slow." : "No consumer is behind.";
}

function showEpisodes() {
  const {answer} = pollers.episodes;
  markAge(byId("episodes"), pollers.episodes);
  if (answer === null) return;
  const matching = answer.episodes.filter((episode) => episodeMatches(episode, view.filterText));
  episodes.show(matching, brokerNow());
  setShown(byId("no-episodes"), matching.length === 0);
  setText(byId("no-episodes"),
          answer.episodes.length === 0 ? "No consumer has been slow." : "None matches the filter.");
  setText(byId("episode-count"), `${countText(matching.length)} of ${countText(answer.episodes_total)} since start`);
}

function showTopics() {
  const {answer} = pollers.topics;
  markAge(byId("topics"), pollers.topics);
  if (answer === null) return;
  topics.show(answer.topics);
  setShown(byId("no-topics"), answer.topics.length === 0);
  setShown(byId("topics-missing"), answer.shards_missing > 0);
  setText(byId("topics-missing"), `${counted(answer.shards_missing, "shard")} did not answer in time.`);
}

// One sentence on top: how things are, or that nobody knows.
function showVerdict() {
  const said = sayVerdict();
  setText(byId("verdict"), said.text);
  setText(byId("spoken"), said.spoken);
  setAttribute(byId("verdict-box"), "data-level", said.level);
  setText(byId("retry"), said.retry ?? "");
  setShown(byId("retry-now"), said.level === "unknown");
  document.title = `${said.title} · Sluice`;
  markAge(byId("facts"), pollers.broker);
  markAge(byId("overview"), pollers.broker);
  markAge(byId("consumers"), pollers.consumers);
}

function sayVerdict() {
  const {broker, consumers: list} = pollers;
  if (view.paused) {
    const since = timeText(view.pausedAt, Date.now());
    const text = `Paused at ${since}: nothing here is newer.`;
    return {level: "paused", text, spoken: text, title: "Paused"};
  }
  const silent = [broker, list].find((poller) => poller.isSilent());
  if (silent !== undefined) return sayNoAnswer(silent);
  if (broker.isStale() || list.isStale()) {
    return {level: "waiting", text: "Asking the broker …", spoken: "", title: "Asking"};
  }
  const said = verdict(broker.answer, list.answer, {ofOneTopic: view.topic !== ""});
  const slow = broker.answer.lagging_subscriptions;
  return {...said, title: said.level === "well" ? "Well" : slow > 0 ? `${countText(slow)} slow` : "Look"};
}

function sayNoAnswer(poller) {
  const now = Date.now();
  const since = poller.answeredAt;
  const text = since === null ? "No answer from the broker yet." :
    `No answer from the broker since ${timeText(since, now)} (${durationText(Math.round((now - since) / 1000))}).`;
  const spoken = since === null ? text : `No answer from the broker since ${timeText(since, now)}.`;
  const why = poller.error === "" ? "" : `${poller.error[0].toUpperCase()}${poller.error.slice(1)}. `;
  const again = poller.retryAt === null ? "Trying again now." :
    `Trying again in ${durationText(Math.max(0, Math.round((poller.retryAt - now) / 1000)))}.`;
  return {level: "unknown", text, spoken, retry: why + again, title: "No answer"};
}

// Marks a part of the page whose numbers are old, and says of when they are.
function markAge(part, poller) {
  const old = poller.answer !== null && (view.paused || poller.isStale());
  setAttribute(part, "data-age", old ? "old" : "live");
  const note = part.querySelector(".age-note");
  setShown(note, old);
  if (old) setText(note, `as of ${timeText(poller.answeredAt, Date.now())}`);
}

function chooseSort(key) {
  const asked = columnOf(view.sort.key).ask;
  view.sort = nextSort(view.sort, key);
  showConsumers();
  if (columnOf(key).ask !== asked) pollers.consumers.askNow();
}

function chooseTopic(topic) {
  view.topic = topic;
  setShown(byId("topic-chosen"), topic !== "");
  setName(byId("topic-name"), topic);
  if (topic !== "") {
    byId("show-all").checked = true;
    view.shown = "all";
    byId("all-topics").focus();
  }
  pollers.consumers.askNow();
}

function setPaused(paused) {
  view.paused = paused;
  view.pausedAt = Date.now();
  setAttribute(byId("pause"), "aria-pressed", String(paused));
  if (paused) history.gap(Date.now() / 1000);
  runOrStop();
  showAges();
}

// Nobody looks at a hidden page, so it asks for nothing.
function runOrStop() {
  const runs = !view.paused && !document.hidden;
  for (const poller of Object.values(pollers)) runs ? poller.start() : poller.stop();
}

// What changes while no answer comes: how old everything is.
function showAges() {
  showVerdict();
  markAge(byId("episodes"), pollers.episodes);
  markAge(byId("topics"), pollers.topics);
}

byId("filter").addEventListener("input", (event) => {
  view.filterText = event.target.value;
  showConsumers();
  showEpisodes();
});
for (const choice of document.querySelectorAll("input[name=shown]")) {
  choice.addEventListener("change", () => {
    view.shown = choice.value;
    showConsumers();
  });
}
byId("pause").addEventListener("click", () => setPaused(!view.paused));
byId("retry-now").addEventListener("click", () => {
  for (const poller of Object.values(pollers)) poller.askNow();
});
byId("all-topics").addEventListener("click", () => {
  chooseTopic("");
  byId("filter").focus();
});
document.addEventListener("visibilitychange", () => {
  // Before anything is painted: what is here may be hours old.
  if (!document.hidden) showAges();
  else history.gap(Date.now() / 1000);
  runOrStop();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => numbers.redraw());
setInterval(() => {
  if (!document.hidden) showAges();
}, 1_000);

byId("page").hidden = false;
showVerdict();
runOrStop();
