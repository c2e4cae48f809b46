// Times that a consumer was slow: on a timeline, and as a list with everything that is known of each.

import {NO_NAME, arrange, byId, make, makeName, makeSvg, setAttribute, setName, setShown, setText, showShares}
  from "./dom.mjs";
import {layOut} from "./timeline.mjs";
import {bytesText, causeText, countText, counted, durationText, outcomeText, percentText, timeText,
        visibleText} from "./words.mjs";

const FIRST_ONES = 10;
const TICKS = [1, 0.75, 0.5, 0.25, 0];

const keyOf = (episode) => JSON.stringify([episode.session, episode.subscription, episode.began]);

export class EpisodesView {
  constructor() {
    this.#body = byId("episode-rows");
    this.#more = byId("more-episodes");
    this.#more.addEventListener("click", () => {
      this.#showsAll = !this.#showsAll;
      this.#showList();
    });
  }

  // `now`: of the broker's clock, in ms.
  show(episodes, now) {
    this.#episodes = episodes;
    this.#now = now;
    this.#showTimeline();
    this.#showList();
  }

  #body;
  #more;
  #episodes = [];
  #now = 0;
  #showsAll = false;
  #rows = new Map();

  #showTimeline() {
    const {spanSeconds, lanes, lanesLeftOut} = layOut(this.#episodes, this.#now);
    const timeline = byId("timeline");
    setShown(timeline, lanes.length > 0);
    setShown(byId("legend"), lanes.length > 0);
    setAttribute(timeline, "aria-label",
                 `Timeline of the last ${durationText(spanSeconds)}; the list below says the same.`);
    timeline.replaceChildren(...lanes.map((lane) => this.#lane(lane)), axis(spanSeconds));
    setShown(byId("lanes-left-out"), lanesLeftOut > 0);
    setText(byId("lanes-left-out"), `${counted(lanesLeftOut, "more consumer")} in the list.`);
  }

  #lane({episode, bars}) {
    const name = makeName("lane-name");
    setName(name, episode.client_name, NO_NAME);
    const percent = (share) => `${(100 * share).toFixed(2)}%`;
    const track = makeSvg("svg", {class: "lane-track", "aria-hidden": "true"});
    for (const bar of bars) {
      track.append(makeSvg("rect", {class: "episode-bar", "data-outcome": bar.episode.outcome, x: percent(bar.from),
                                    width: percent(bar.width), y: "2", height: "12", rx: "2"},
                           makeSvg("title", {}, this.#summary(bar.episode))));
    }
    return make("div", {class: "lane"}, make("div", {class: "lane-label"}, name), track);
  }

  #summary(episode) {
    return `${visibleText(episode.client_name) || NO_NAME}, ${visibleText(episode.filter)}: ` +
        `${timeText(Date.parse(episode.began), this.#now)}, ${durationText(episode.duration_seconds)}, ` +
        `${causeText(episode.cause)}, ${outcomeText(episode)}`;
  }

  #showList() {
    const shown = this.#showsAll ? this.#episodes : this.#episodes.slice(0, FIRST_ONES);
    const rows = new Map();
    for (const episode of shown) {
      const key = keyOf(episode);
      const row = this.#rows.get(key) ?? new Row();
      row.show(episode, this.#now);
      rows.set(key, row);
    }
    this.#rows = rows;
    arrange(this.#body, [...rows.values()].map((row) => row.element));
    setShown(byId("episode-table"), rows.size > 0);
    setShown(this.#more, this.#episodes.length > FIRST_ONES);
    setText(this.#more, this.#showsAll ? `Show the first ${FIRST_ONES} only` : `Show all ${this.#episodes.length}`);
    setAttribute(this.#more, "aria-expanded", String(this.#showsAll));
  }
}

function axis(spanSeconds) {
  const labels = make("div", {class: "axis-labels"});
  for (const share of TICKS) {
    const label = make("span", {class: "tick"}, share === 0 ? "now" : `${durationText(share * spanSeconds)} ago`);
    label.style.left = `${100 * (1 - share)}%`;
    labels.append(label);
  }
  return make("div", {class: "lane axis", "aria-hidden": "true"}, make("div", {class: "lane-label"}), labels);
}

class Row {
  constructor() {
    this.#name = makeName();
    this.#address = makeName("address");
    this.#filter = makeName("filter");
    const who = make("th", {scope: "row", role: "rowheader", class: "who"}, this.#name,
                     make("div", {class: "who-more"}, this.#filter, " ", this.#address));
    const cell = (key, title) => {
      this.#cells[key] = make("span", {class: "cell", "data-cell": key});
      return make("td", {role: "cell", "data-title": title}, this.#cells[key]);
    };
    this.element = make("tr", {role: "row", class: "episode"}, who, cell("began", "When"), cell("lasted", "How long"),
                        cell("peak", "Peak"), cell("cause", "Cause"), cell("outcome", "Outcome"),
                        cell("topics", "Topics"), cell("publishers", "Publishers"));
    this.#outcome = make("span", {class: "outcome"});
    this.#lost = make("span", {class: "lost"});
    this.#cells.outcome.append(this.#outcome, this.#lost);
  }

  show(episode, now) {
    setName(this.#name, episode.client_name, NO_NAME);
    setName(this.#address, episode.address);
    setName(this.#filter, episode.filter);
    const cells = this.#cells;
    setText(cells.began, timeText(Date.parse(episode.began), now));
    setText(cells.lasted, durationText(episode.duration_seconds));
    setText(cells.peak, `${percentText(episode.limit_share_peak)}, ${bytesText(episode.pending_bytes_peak)}, ` +
                        counted(episode.pending_messages_peak, "message"));
    setText(cells.cause, causeText(episode.cause));
    setText(this.#outcome, outcomeText(episode));
    setAttribute(this.#outcome, "data-outcome", episode.outcome);
    setText(this.#lost, lostText(episode));
    showShares(cells.topics, episode.topics);
    showShares(cells.publishers, episode.publishers);
  }

  #name;
  #address;
  #filter;
  #outcome;
  #lost;
  #cells = {};
}

function lostText({dropped, conflated}) {
  const parts = [];
  if (dropped > 0) parts.push(`${countText(dropped)} dropped`);
  if (conflated > 0) parts.push(`${countText(conflated)} replaced by newer ones`);
  return parts.length > 0 ? parts.join(", ") : "nothing lost";
}
