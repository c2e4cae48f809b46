// Builds and changes elements. Text becomes text nodes only: nothing in this page reads a string as HTML.

import {percentText, visibleParts} from "./words.mjs";

const SVG = "http://www.w3.org/2000/svg";

export const NO_NAME = "(no name)";

export const byId = (id) => document.getElementById(id);

// make("td", {class: "state", "data-title": "State"}, "text", element, ...)
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// These three leave alone what is as it should be, so that nothing is laid out or read out again for no reason.
// A number and its unit stay on one line.
export function setText(element, text) {
  const joined = text.replace(/(?<=\d) (?=[a-z%]|[kMGTP]i?B)/gi, "\u00a0");
  if (element.textContent !== joined) element.textContent = joined;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setShown(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

// An element for something that a client names. It stands apart from the text around it, whatever its direction,
// and what cannot be seen in it is shown as a marked escape.
export function makeName(className = "name") {
  return make("bdi", {class: className});
}

const namesShown = new WeakMap();

export function setName(element, name, whenEmpty = "") {
  if (namesShown.get(element) === name) return;
  namesShown.set(element, name);
  if (name === "") {
    element.replaceChildren(make("i", {}, whenEmpty));
    return;
  }
  element.replaceChildren(
      ...visibleParts(name).map((part) => (part.escaped ? make("span", {class: "escape"}, part.text) : part.text)));
}

// Names with their shares of something, a line each.
export function showShares(element, shares) {
  const list = make("ul", {class: "shares"});
  for (const {name, share} of shares) {
    const shown = makeName();
    setName(shown, name, NO_NAME);
    list.append(make("li", {}, shown, `\u00a0${percentText(share)}`));
  }
  element.replaceChildren(shares.length > 0 ? list : "–");
}

// A bar with a text beside it. The mark in it is where a consumer is warned.
export class Bar {
  constructor(label) {
    this.fill = make("span", {class: "bar-fill"});
    this.track = make("span", {class: "bar", role: "meter", "aria-label": label, "aria-valuemin": "0",
                               "aria-valuemax": "100"}, this.fill, make("span", {class: "bar-mark"}));
    this.text = make("span", {class: "bar-text"});
    this.element = make("div", {class: "bar-and-text"}, this.track, this.text);
  }

  set(share, text) {
    const percent = Math.max(0, Math.min(100, share * 100));
    this.fill.style.width = `${percent.toFixed(1)}%`;
    setAttribute(this.track, "data-level", share >= 1 ? "over" : share >= 0.75 ? "high" : "low");
    setAttribute(this.track, "aria-valuenow", percent.toFixed(0));
    setAttribute(this.track, "aria-valuetext", text);
    setText(this.text, text);
  }
}

// Makes `parent` have exactly these children in this order, and moves as few as it can. An element that is moved
// loses the focus: it is given back.
export function arrange(parent, wanted) {
  const focused = document.activeElement;
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of wanted) {
    if (child === at) {
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(child, at);
    }
  }
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({preventScroll: true});
}
