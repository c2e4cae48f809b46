// The four numbers that say whether all is well, each with its last minutes.

import {byId, make, setAttribute, setText} from "./dom.mjs";
import {bytesText, countText, counted, durationText, percentText} from "./words.mjs";

const CHART_HEIGHT = 48;

const perSecond = (value) => (value === null ? "–" : `${countText(value)}/s`);
const bytesPerSecond = (value) => (value === null ? "first answer: no rate yet" : `${bytesText(value)}/s`);

const NUMBERS = [
  {key: "in", title: "In", value: (now) => perSecond(now.inMessages), unit: "messages",
   more: (now) => bytesPerSecond(now.inBytes), peak: perSecond, ceiling: (most) => most},
  {key: "out", title: "Out", value: (now) => perSecond(now.outMessages), unit: "messages",
   more: (now) => bytesPerSecond(now.outBytes), peak: perSecond, ceiling: (most) => most},
  {key: "pending", title: "Pending", value: (now) => bytesText(now.pendingBytes), unit: "",
   more: (now) => counted(now.pendingMessages, "message"), peak: bytesText, ceiling: (most) => most},
  {key: "budget", title: "Budget", unit: "used",
   value: (now) => (now.budgetShare === null ? "none" : percentText(now.budgetShare)),
   more: (now) => (now.budgetShare === null ? `${bytesText(now.retainedBytes)} kept` :
     `${bytesText(now.retainedBytes)} of ${bytesText(now.budgetBytes)}`),
   peak: percentText, ceiling: () => 1},
];

export class NumbersView {
  constructor(history) {
    this.#history = history;
    this.#tiles = NUMBERS.map((number) => new Tile(number, history));
    byId("numbers").replaceChildren(...this.#tiles.map((tile) => tile.element));
    for (const tile of this.#tiles) tile.drawInto();
  }

  show() {
    for (const tile of this.#tiles) tile.show(this.#history.latest);
  }

  // The colours have changed.
  redraw() {
    for (const tile of this.#tiles) tile.redraw();
  }

  #history;
  #tiles;
}

class Tile {
  constructor(number, history) {
    this.#number = number;
    this.#history = history;
    this.#value = make("span", {class: "number", "data-number": number.key}, "–");
    this.#more = make("p", {class: "number-more"}, "\u00a0");
    this.#chartBox = make("div", {class: "chart", role: "img"});
    this.#peak = make("p", {class: "number-peak"}, "\u00a0");
    this.element = make("div", {class: "tile"}, make("h3", {}, number.title),
                        make("p", {class: "number-line"}, this.#value, " ",
                             make("span", {class: "number-unit"}, number.unit)),
                        this.#more, this.#chartBox, this.#peak);
  }

  // Once it is part of the page, and so has a width.
  drawInto() {
    const colour = (name) => () => getComputedStyle(this.element).getPropertyValue(name);
    const history = this.#history;
    this.#chart = new uPlot({
      width: this.#chartBox.clientWidth,
      height: CHART_HEIGHT,
      padding: [2, 0, 2, 0],
      cursor: {show: false},
      legend: {show: false},
      axes: [{show: false}, {show: false}],
      scales: {
        x: {time: false, range: () => {
          const last = history.times.at(-1) ?? 0;
          return [last - history.windowSeconds, last];
        }},
        y: {range: (_chart, _least, most) => [0, this.#number.ceiling(most) || 1]},
      },
      series: [{}, {stroke: colour("--chart-line"), fill: colour("--chart-fill"), width: 1.5,
                    points: {show: false}}],
    }, this.#columns(), this.#chartBox);
    new ResizeObserver(() => {
      const width = this.#chartBox.clientWidth;
      if (width > 0 && width !== this.#chart.width) this.#chart.setSize({width, height: CHART_HEIGHT});
    }).observe(this.#chartBox);
  }

  show(now) {
    const {key, title, value, more, peak} = this.#number;
    const minutes = durationText(this.#history.windowSeconds);
    if (now !== null) {
      setText(this.#value, value(now));
      setText(this.#more, more(now));
    }
    const most = peak(this.#history.peak(key));
    setText(this.#peak, `at most ${most} in ${minutes}`);
    setAttribute(this.#chartBox, "aria-label", `${title}, the last ${minutes}: at most ${most}`);
    this.#chart.setData(this.#columns());
  }

  redraw() {
    this.#chart.redraw(false);
  }

  #number;
  #history;
  #value;
  #more;
  #chartBox;
  #peak;
  #chart;

  #columns() {
    return [this.#history.times, this.#history[this.#number.key]];
  }
}
