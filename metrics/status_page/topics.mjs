// The topics with the most bytes per second.

import {byId, make, makeName, setName, setShown, setText} from "./dom.mjs";
import {bytesText, countText} from "./words.mjs";

const TOPICS_MAX = 5;

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
    const cell = (key, title, content = make("span", {"data-cell": key})) => {
      this.#cells[key] = content;
      return make("td", {role: "cell", "data-title": title}, make("span", {class: "cell"}, content));
    };
    this.element = make("tr", {role: "row", class: "topic"},
                        make("th", {scope: "row", role: "rowheader", class: "who"}, choose),
                        cell("messages", "Messages"), cell("bytes", "Bytes"), cell("subscribers", "Subscribers"),
                        cell("publisher", "Main publisher", makeName()));
  }

  show(topic) {
    this.#topic = topic.topic;
    setName(this.#name, topic.topic);
    setText(this.#cells.messages, `${countText(topic.messages_per_second)}/s`);
    setText(this.#cells.bytes, `${bytesText(topic.bytes_per_second)}/s`);
    setText(this.#cells.subscribers, countText(topic.subscribers));
    setName(this.#cells.publisher, topic.main_publisher, "nobody alone");
  }

  #topic = "";
  #name;
  #cells = {};
}
