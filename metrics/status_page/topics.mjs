// The topics with the most bytes per second. The broker estimates them from a sample.

import {byId, make, makeName, setName, setShown, setText, showShares} from "./dom.mjs";
import {bytesText, countText} from "./words.mjs";

const TOPICS_MAX = 5;
const PUBLISHERS_MAX = 3;

export class TopicsView {
  // onChoose(topic): somebody wants to see who receives it.
  constructor(onChoose) {
    this.#onChoose = onChoose;
    this.#body = byId("topic-rows");
  }

  show(topics) {
    const shown = topics.slice(0, TOPICS_MAX);
    while (this.#rows.length > shown.length) this.#rows.pop().element.remove();
    while (this.#rows.length < shown.length) {
      const row = new Row(this.#onChoose);
      this.#rows.push(row);
      this.#body.append(row.element);
    }
    shown.forEach((topic, i) => this.#rows[i].show(topic));
    setShown(byId("topic-table"), shown.length > 0);
  }

  #onChoose;
  #body;
  #rows = [];
}

class Row {
  constructor(onChoose) {
    this.#name = makeName();
    const choose = make("button", {type: "button", class: "choose", title: "Show who receives it"}, this.#name);
    choose.addEventListener("click", () => onChoose(this.#topic));
    const cell = (key, title) => {
      this.#cells[key] = make("span", {class: "cell", "data-cell": key});
      return make("td", {role: "cell", "data-title": title}, this.#cells[key]);
    };
    this.element = make("tr", {role: "row", class: "topic"},
                        make("th", {scope: "row", role: "rowheader", class: "who"}, choose),
                        cell("messages", "Messages"), cell("bytes", "Bytes"), cell("subscribers", "Subscribers"),
                        cell("publishers", "Publishers"));
  }

  show(topic) {
    this.#topic = topic.topic;
    setName(this.#name, topic.topic);
    setText(this.#cells.messages, `${countText(topic.messages_per_second)}/s`);
    setText(this.#cells.bytes, `${bytesText(topic.bytes_per_second)}/s`);
    setText(this.#cells.subscribers, countText(topic.subscribers));
    showShares(this.#cells.publishers, topic.publishers.slice(0, PUBLISHERS_MAX));
  }

  #topic = "";
  #name;
  #cells = {};
}
