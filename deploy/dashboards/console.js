"use strict";
(() => {
  const RANGES = { "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800 };
  const COLORS = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#06b6d4", "#84cc16", "#ec4899", "#78716c"];
  const REFRESH_MS = 15000;
  const HEIGHT = 150, LEFT = 56, BOTTOM = 18, TOP = 6;
  const page = document.documentElement.dataset;
  const parameters = new URLSearchParams(location.search);
  const range = RANGES[parameters.get("range")] || RANGES["1h"];

  const seconds = (text) => parseInt(text, 10) * { s: 1, m: 60, h: 3600, d: 86400 }[text.at(-1)];

  function make(parent, name, attributes, text) {
    const namespace = ["svg", "path", "line", "text"].includes(name) ? "http://www.w3.org/2000/svg" : null;
    const element = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;  // never markup: names come from clients
    parent.append(element);
    return element;
  }

  function scaled(value, base, prefixes) {
    let step = 0;
    while (Math.abs(value) >= base && step < prefixes.length - 1) {
      value /= base;
      ++step;
    }
    const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
    return String(parseFloat(value.toFixed(digits))) + prefixes[step];
  }

  function show(value, unit) {
    if (unit === "bytes") return scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
    if (unit === "bytes_per_second") return scaled(value, 1024, [" B/s", " KiB/s", " MiB/s", " GiB/s"]);
    if (unit === "share") return parseFloat((100 * value).toPrecision(3)) + " %";
    if (unit === "seconds") {
      if (value === 0) return "0 s";
      if (value < 1e-3) return parseFloat((1e6 * value).toPrecision(3)) + " µs";
      if (value < 1) return parseFloat((1e3 * value).toPrecision(3)) + " ms";
      return value < 120 ? parseFloat(value.toPrecision(3)) + " s" : scaled(value / 60, 60, [" min", " h"]);
    }
    const behind = { per_second: "/s", per_minute: "/min" }[unit] || "";
    if (value !== 0 && Math.abs(value) < 0.01) return value.toPrecision(1) + behind;
    return scaled(value, 1000, ["", "k", "M", "G", "T"]) + behind;
  }

  // The least round number that is not below.
  function roundUp(value, unit) {
    if (!(value > 0)) return unit === "share" ? 0.01 : 1;
    const base = unit.startsWith("bytes") ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 1;
    const decade = 10 ** Math.floor(Math.log10(value / base));
    return base * decade * [1, 2, 4, 5, 10].find((step) => step * decade * base >= value * 0.999999);
  }

  function timeText(time) {
    const date = new Date(1000 * time);
    const clock = date.toTimeString().slice(0, range <= 900 ? 8 : 5);
    return range > 86400 ? `${date.getMonth() + 1}/${date.getDate()} ${clock}` : clock;
  }

  async function ask(query, start, end, step) {
    const body = new URLSearchParams({ query, start, end, step });
    const answer = await (await fetch(`${page.prefix}/api/v1/query_range`, { method: "POST", body })).json();
    if (answer.status !== "success") throw new Error(answer.error);
    return answer.data.result;
  }

  async function seriesOf(figure, start, end, step) {
    const window = `${Math.max(seconds(page.rate), step)}s`;
    const asked = [...figure.querySelectorAll("i[data-query]")].map(async (entry) => {
      const found = await ask(entry.dataset.query.replaceAll("$rate", window), start, end, step);
      return found.map((one) => ({
        name: entry.dataset.legend.replace(/\{(\w+)\}/g, (_, label) => one.metric[label] ?? ""),
        points: one.values.map(([time, value]) => [time, parseFloat(value)]).filter(([, value]) => isFinite(value)),
      }));
    });
    return (await Promise.all(asked)).flat().filter((one) => one.points.length > 0);
  }

  function drawLines(svg, series, width, start, end, step, top, filled) {
    const x = (time) => LEFT + (width - LEFT) * (time - start) / (end - start);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.min(value, top) / top);
    for (const one of series) {
      let line = "", last = -Infinity;
      for (const [time, value] of one.points) {
        line += `${time - last > 1.5 * step ? "M" : "L"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
        last = time;
      }
      if (one.points.length === 1) line += "h2";
      make(svg, "path", { d: line, fill: "none", stroke: one.color, "stroke-width": 1.6, "stroke-linejoin": "round" });
      if (filled) {
        const first = one.points[0][0];
        const area = `${line.replace(/(?!^)M/g, "L")}V${HEIGHT - BOTTOM}H${x(first).toFixed(1)}Z`;
        make(svg, "path", { d: area, fill: one.color, opacity: 0.12 });
      }
    }
    return x;
  }

  function drawAxes(svg, width, start, end, top, unit) {
    for (let part = 0; part <= 4; part += 2) {
      const at = TOP + (HEIGHT - TOP - BOTTOM) * (1 - part / 4);
      make(svg, "line", { class: "grid", x1: LEFT, x2: width, y1: at, y2: at });
      make(svg, "text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, show(top * part / 4, unit));
    }
    const parts = width > 320 ? 4 : 2;
    for (let part = 0; part <= parts; ++part) {
      const anchor = part === 0 ? "start" : part === parts ? "end" : "middle";
      const at = LEFT + (width - LEFT) * part / parts;
      make(svg, "text", { x: at, y: HEIGHT - 3, "text-anchor": anchor }, timeText(start + (end - start) * part / parts));
    }
  }

  function followPointer(figure, svg, series, x, width, start, end, step, unit) {
    let tip, line;
    const leave = () => { tip?.remove(); line?.remove(); };
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("pointermove", (event) => {
      leave();
      const along = event.clientX - svg.getBoundingClientRect().left;
      if (along < LEFT) return;
      const wanted = start + (end - start) * (along - LEFT) / (width - LEFT);
      const time = start + Math.round((wanted - start) / step) * step;
      line = make(svg, "line", { class: "at", x1: x(time), x2: x(time), y1: TOP, y2: HEIGHT - BOTTOM });
      tip = make(figure, "div", { class: "tip" });
      make(tip, "div", {}, timeText(time));
      const here = series.map((one) => ({ ...one, value: one.points.find(([at]) => Math.abs(at - time) < step / 2)?.[1] }));
      for (const one of here.filter((entry) => entry.value !== undefined).sort((a, b) => b.value - a.value).slice(0, 12)) {
        const row = make(tip, "div", { class: "legend" });
        make(row, "span", { style: `color:${one.color}` }, one.name);
        make(row, "b", {}, show(one.value, unit));
      }
      tip.style[along > width / 2 ? "left" : "right"] = "12px";
    });
  }

  function draw(figure, all, start, end, step) {
    const unit = figure.dataset.unit;
    const moved = all.filter((one) => one.points.some(([, value]) => value !== 0));
    const series = all.length > 4 ? moved : all;  // many at 0 say no more than their number
    series.forEach((one, place) => { one.color = COLORS[place % COLORS.length]; });
    figure.querySelectorAll("svg, .legend, .empty, .tip").forEach((old) => old.remove());
    if (all.length === 0) return make(figure, "div", { class: "empty" }, "no data");

    const width = Math.max(figure.clientWidth - 24, 120);
    const top = roundUp(Math.max(...all.flatMap((one) => one.points.map(([, value]) => value))), unit);
    const svg = make(figure, "svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
    drawAxes(svg, width, start, end, top, unit);
    const x = drawLines(svg, series, width, start, end, step, top, series.length === 1);
    followPointer(figure, svg, series, x, width, start, end, step, unit);
    const legend = make(figure, "div", { class: "legend" });
    for (const one of series) {
      const entry = make(legend, "span");
      make(entry, "i", { style: `background:${one.color}` });
      make(entry, "span", {}, `${one.name} `);
      make(entry, "b", {}, show(one.points.at(-1)[1], unit));
    }
    const hidden = all.length - series.length;
    if (hidden > 0) make(legend, "span", { class: "nothing" }, series.length > 0 ? `${hidden} others: 0` : `all ${hidden}: 0`);
  }

  async function drawAll() {
    const step = Math.max(Math.ceil(range / 240), 1);
    const end = Math.floor(Date.now() / 1000 / step) * step;
    const start = end - range;
    await Promise.all([...document.querySelectorAll("figure.graph")].map(async (figure) => {
      try {
        const series = await seriesOf(figure, start, end, step);
        draw(figure, series, start, end, step);
        figure.dataset.series = series.length;
      } catch (error) {
        figure.querySelectorAll("svg, .legend, .empty").forEach((old) => old.remove());
        make(figure, "div", { class: "empty" }, error.message);
        figure.dataset.error = error.message;
      }
    }));
    page.drawn = document.querySelectorAll("figure.graph svg").length;
  }

  // The numbers, the alerts and the tables are the server's: ask for the page again and take them from it.
  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll(".live")) {
        const replacement = fresh.getElementById(old.id);
        if (replacement) old.replaceWith(replacement);
      }
      await drawAll();
      page.refreshed = Number(page.refreshed || 0) + 1;
    } catch (error) {
      console.warn("not refreshed:", error);
    }
  }

  const ranges = document.querySelector("nav.ranges");
  for (const [name, length] of Object.entries(RANGES)) {
    parameters.set("range", name);
    const link = make(ranges, "a", { href: `?${parameters}` }, name);
    if (length === range) link.setAttribute("aria-current", "page");
  }
  for (const link of document.querySelectorAll("header nav:not(.ranges) a")) {
    const target = new URL(link.href);
    for (const kept of ["range", "rate"]) {
      const value = new URLSearchParams(location.search).get(kept);
      if (value) target.searchParams.set(kept, value);
    }
    link.href = target;
  }
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(drawAll, 200); });
  drawAll();
  setInterval(refresh, REFRESH_MS);
})();
