// The status page in a real browser, against a broker that answers what each test writes.

import assert from "node:assert/strict";
import {after, afterEach, before, beforeEach, test} from "node:test";

import {OpenPage, eventually, startBrowser} from "./browser.mjs";
import {MockBroker, SILENCE, buildPage} from "./mock_broker.mjs";
import {ago, busy, consumer, consumers, episode, episodes, quiet, running, slow, topic, topics} from "./scenes.mjs";

const MIB = 1 << 20;

let built;
let browser;
let mock;
let opened = [];

before(async () => {
  built = buildPage();
  browser = await startBrowser();
});
after(() => browser?.close());

beforeEach(async () => {
  mock = await MockBroker.start(built);
  mock.answers = quiet();
});
afterEach(async () => {
  const pages = opened;
  opened = [];
  try {
    for (const page of pages) await page.close();
  } finally {
    await mock.end();
  }
});

async function open(options, prepare) {
  const page = await OpenPage.open(browser, mock.origin, options, prepare);
  opened.push(page);
  return page;
}

// The page has asked and been answered again since this was called.
async function anotherRound(times = 2) {
  const asked = mock.asked("/api/consumers");
  await eventually(async () => assert.ok(mock.asked("/api/consumers") >= asked + times));
}

test("a quiet broker: all is well, and the four numbers", async () => {
  mock.answers.broker = running({messagesIn: 1200, bytesIn: 1200 * 1024, messagesOut: 12_000, bytesOut: 12_000 * 1024,
                                 pending_bytes: 3 * MIB, pending_messages: 2900, retained_bytes: 512 * MIB});
  const page = await open();
  await page.shows("#verdict", "All is well.");
  await page.shows("#spoken", "All is well.");
  await page.shows("[data-number=in]", /^(1,1\d\d|1,2\d\d)\/s$/);
  await page.shows("[data-number=out]", /^(11,[5-9]|12,[0-4])\d\d\/s$/);
  await page.shows("[data-number=pending]", "3 MiB");
  await page.shows("[data-number=budget]", "25 %");
  await page.shows("#numbers", /1\.1\d MiB\/s.*11\.\d MiB\/s.*2,900 messages.*512 MiB of 2 GiB/);
  await page.shows("#no-consumers", "No consumer is slow.");
  await page.shows("#no-episodes", "No consumer has been slow.");
  await page.shows("#state", "serving");
  await page.shows("#version", "0.1.0");
  await page.shows("#uptime", "up 2 h 5 min");
  assert.equal(await page.page.locator("#numbers canvas").count(), 4);
  assert.equal(await page.page.title(), "Well · Sluice");
  assert.equal(await page.page.locator("#spoken").getAttribute("aria-live"), "polite");
});

test("slow consumers: cause, number and time to limit in words, the share as a bar", async () => {
  const list = [
    slow(0.82, {client_name: "reads-nothing", cause: "application", time_to_limit_seconds: 12.3}),
    slow(0.76, {client_name: "far-away", cause: "network_slow", time_to_limit_seconds: 90}),
    slow(0.5, {client_name: "bad-line", cause: "network_lossy"}),
    slow(0.75, {client_name: "too-much", cause: "over_subscribed", nearest_limit: "pending_messages",
                nearest_limit_value: 131_072, time_to_limit_seconds: 5000}),
    slow(0.8, {client_name: "too-old", cause: "", nearest_limit: "pending_age", nearest_limit_value: 60,
               oldest_age_seconds: 48}),
  ];
  mock.answers.consumers = consumers(list);
  const page = await open();
  await page.shows("#verdict", "5 consumers are slow, the nearest is cut in about 12 s.");
  await page.shows("#spoken", "5 consumers are slow.");
  assert.equal(await page.page.locator("#verdict-box").getAttribute("data-level"), "watch");
  const cells = await page.cells("reads-nothing");
  assert.equal(cells.State, "falls behind");
  assert.equal(cells["Limit used"], "82 % of 8 MiB");
  assert.equal(cells.Cause, "does not read");
  assert.equal(cells["Time to limit"], "in about 12 s");
  assert.equal(cells["Oldest message"], "4.2 s");
  assert.match(cells["Slow since"], /^\d\d:\d\d:\d\d, 3\d s$/);
  assert.equal((await page.cells("far-away")).Cause, "its network is slow");
  assert.equal((await page.cells("far-away"))["Time to limit"], "in about 1 min 30 s");
  assert.equal((await page.cells("bad-line")).Cause, "its network loses packets");
  assert.equal((await page.cells("bad-line"))["Time to limit"], "not as it goes now");
  assert.equal((await page.cells("too-much")).Cause, "is sent more than it can take");
  assert.equal((await page.cells("too-much"))["Limit used"], "75 % of 131,072 messages");
  assert.equal((await page.cells("too-much"))["Time to limit"], "in more than an hour");
  assert.equal((await page.cells("too-old")).Cause, "not known");
  assert.equal((await page.cells("too-old"))["Limit used"], "80 % of 1 min");
  const bar = page.row("reads-nothing").getByRole("meter");
  assert.equal(await bar.getAttribute("aria-valuenow"), "82");
  await eventually(async () => {
    const [fill, whole] = await bar.evaluate((element) =>
      [element.firstChild.getBoundingClientRect().width, element.getBoundingClientRect().width]);
    assert.ok(Math.abs(fill / whole - 0.82) < 0.02, `the bar is ${fill} of ${whole}`);
  });
});

test("what is worse than being slow comes first in the verdict", async () => {
  mock.answers = busy();
  const page = await open();
  await page.shows("#verdict", "4 consumers are slow, 1 holds up its publishers, 1 loses messages, " +
                               "the nearest is cut in about 12 s.");
  assert.equal(await page.page.locator("#verdict-box").getAttribute("data-level"), "act");
  assert.equal((await page.cells("log-tail")).State, "loses messages");
  assert.equal((await page.cells("log-tail")).Dropped, "182,044");
  assert.equal((await page.cells("log-tail"))["Time to limit"], "over it now");
  assert.equal((await page.cells("batch-export")).State, "holds up its publishers");
  mock.answers.broker = running({state: "draining", retained_bytes: 95, memory_budget_bytes: 100});
  mock.answers.consumers = consumers([]);
  await page.shows("#verdict", "The broker is draining: its clients are sent away. 95 % of the memory budget is used.");
  await page.shows("#state", "draining");
});

test("sorts by click and by keyboard", async () => {
  mock.answers.consumers = consumers([
    slow(0.8, {client_name: "b", dropped: 5, oldest_age_seconds: 1, time_to_limit_seconds: 9}),
    slow(0.9, {client_name: "a", dropped: 7, oldest_age_seconds: 3}),
    slow(0.85, {client_name: "c", dropped: 6, oldest_age_seconds: 2, time_to_limit_seconds: 5}),
  ]);
  const page = await open();
  const header = (title) => page.page.getByRole("columnheader", {name: title, exact: true});
  await page.showsNames(["a", "c", "b"]);
  assert.equal(await header("Limit used").getAttribute("aria-sort"), "descending");
  await page.page.getByRole("button", {name: "Consumer", exact: true}).click();
  await page.showsNames(["a", "b", "c"]);
  assert.equal(await header("Limit used").getAttribute("aria-sort"), "none");
  assert.equal(await header("Consumer").getAttribute("aria-sort"), "ascending");
  await page.page.getByRole("button", {name: "Consumer", exact: true}).click();
  await page.showsNames(["c", "b", "a"]);
  await page.page.getByRole("button", {name: "Time to limit"}).focus();
  await page.page.keyboard.press("Enter");
  await page.showsNames(["c", "b", "a"]);  // without a time: last
  assert.equal(await header("Time to limit").getAttribute("aria-sort"), "ascending");
  await page.page.keyboard.press("Space");
  await page.showsNames(["b", "c", "a"]);
  await page.page.getByRole("button", {name: "Dropped"}).click();
  await page.showsNames(["a", "c", "b"]);
  // The broker cuts its list: it must do so by the same.
  await eventually(async () => assert.match(mock.requests.at(-1), /sort=dropped|api\/(broker|episodes|topics)/));
  await eventually(async () => assert.ok(mock.asked("/api/consumers?sort=dropped&") > 0));
});

test("filters by client, address and filter; healthy ones are shown only when asked for", async () => {
  mock.answers.consumers = consumers([
    slow(0.9, {client_name: "Screen-1", address: "10.0.0.1:1000", filter: "ticks.>"}),
    slow(0.8, {client_name: "archive", address: "10.0.0.2:2000", filter: "logs.>"}),
    consumer({client_name: "healthy", address: "10.0.0.3:3000"}),
    consumer({client_name: "waits", state: "out_of_credit", limit_share: 0.1}),
  ]);
  const page = await open();
  await page.showsNames(["Screen-1", "archive"]);
  await page.shows("#consumer-count", "2 of 4 subscriptions");
  await page.page.getByRole("radio", {name: "All", exact: true}).check();
  await page.showsNames(["Screen-1", "archive", "waits", "healthy"]);
  await page.page.getByRole("radio", {name: "Slow or waiting"}).check();
  await page.showsNames(["Screen-1", "archive", "waits"]);
  const box = page.page.getByRole("searchbox", {name: "Filter"});
  await box.fill("screen");
  await page.showsNames(["Screen-1"]);
  await box.fill("10.0.0.2");
  await page.showsNames(["archive"]);
  await box.fill("LOGS.");
  await page.showsNames(["archive"]);
  await anotherRound();
  await page.showsNames(["archive"]);
  await box.fill("nobody");
  await page.shows("#no-consumers", "None matches the filter.");
});

test("a row opens with everything, and stays open and focused while the page goes on", async () => {
  mock.answers.consumers = consumers([
    slow(0.8, {client_name: "one", queue_group: "workers", policy: "drop_oldest", dropped: 77}),
    slow(0.9, {client_name: "two"}),
  ]);
  const page = await open();
  await page.showsNames(["two", "one"]);
  const button = page.row("one").getByRole("button");
  await button.focus();
  await page.page.keyboard.press("Enter");
  assert.equal(await button.getAttribute("aria-expanded"), "true");
  const details = page.page.locator(`#${await button.getAttribute("aria-controls")}`);
  await details.waitFor({state: "visible"});
  const text = (await details.innerText()).replace(/\s+/g, " ");
  for (const part of ["Queue group workers", "drop-oldest: its oldest messages go over its limit", "Dropped 77",
                      "Limits 8 MiB · 131,072 messages · 1 min", "Soft limits none", "In the kernel 256 KiB",
                      "does not read. Look at the consumer", "Is given 1.24 MiB/s"]) {
    assert.ok(text.includes(part), `${part} in: ${text}`);
  }
  // It becomes the first row: the focus moves with it.
  mock.answers.consumers = consumers(mock.answers.consumers.consumers.map(
      (one) => (one.client_name === "one" ? {...one, limit_share: 0.95, dropped: 78} : one)));
  await page.showsNames(["one", "two"]);
  await eventually(async () => assert.match(await details.innerText(), /78/));
  assert.ok(await button.evaluate((element) => element === document.activeElement), "the focus stays");
  assert.ok(await details.isVisible());
  await page.page.keyboard.press("Space");
  assert.ok(await details.isHidden());
  await page.row("two").locator("td").first().click();
  assert.equal(await page.row("two").getByRole("button").getAttribute("aria-expanded"), "true");
});

test("by keyboard alone, in the order of the page", async () => {
  mock.answers = busy();
  const page = await open();
  await page.showsNames(["batch-export", "risk-engine", "dashboard-eu", "log-tail"]);
  const visited = [];
  for (let i = 0; i < 60; ++i) {
    await page.page.keyboard.press("Tab");
    const here = await page.page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const shown = element.type === "radio" ? element.nextElementSibling : element;
      const style = getComputedStyle(shown);
      return {
        what: (element.id || element.dataset.sort || element.value || element.textContent).trim(),
        outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
      };
    });
    if (here === null) break;
    assert.ok(here.outline, `the focus is seen on ${here.what}`);
    visited.push(here.what);
  }
  const wanted = ["To the consumers", "dashboard", "pause", "slow", "filter", "client", "share", "since",
                  "batch-export", "log-tail", "logs.web.access"];
  const order = wanted.map((what) => visited.indexOf(what));
  assert.ok(order.every((at, i) => at >= 0 && (i === 0 || at > order[i - 1])), `${wanted} in ${visited}`);
  // All radio buttons are one stop; the arrows choose.
  await page.page.locator("input[value=slow]").focus();
  await page.page.keyboard.press("ArrowRight");
  await page.page.keyboard.press("ArrowRight");
  await eventually(async () => assert.equal((await page.names()).length, 14));
});

const HOSTILE = [
  "<img src=x onerror=\"document.title='pwned';alert(1)\">",
  "\"><script>window.pwned=1;alert(2)</script>",
  "'-alert(3)-'",
  "{{7*7}}${alert(4)}",
  "</title></style></script><svg onload=alert(5)>",
  "javascript:alert(6)",
  "__proto__",
  "x".repeat(128),
  "W".repeat(64) + "é".repeat(32),
];

test("hostile names do nothing, and stand there as they are", async () => {
  const names = [...HOSTILE, "evil\u202egnp.exe", "two\nlines\u0000\u001b[31m", "zero\u200bwidth", "\u2066isolated", "",
                 "שלום", "\ud800 lone"];
  const list = names.map((name, i) => slow(0.99 - i / 100, {
    client_name: name, filter: `${name}.>`, queue_group: name, cause: i === 0 ? name : "application",
    state: i === 1 ? name : "lagging", address: i === 2 ? name : "127.0.0.1:1", policy: i === 3 ? name : "disconnect",
  }));
  mock.answers.consumers = consumers(list.map((one, i) => ({...one, state: i === 1 ? one.state : "lagging"})));
  mock.answers.episodes = episodes(names.map((name, i) => episode({
    client_name: name, filter: name, began: ago(60 * i + 5), cause: i === 0 ? name : "application",
    outcome: i === 1 ? name : "recovered", topics: [{name, share: 0.5}], publishers: [{name, share: 0.7}],
  })));
  mock.answers.topics = topics(names.slice(0, 5).map((name) => topic({topic: name, publishers: [{name, share: 1}]})));
  mock.answers.broker = running({version: HOSTILE[0], listen: HOSTILE[1], state: HOSTILE[4],
                                 dashboard_url: "javascript:alert(7)", lagging_subscriptions: names.length});
  const page = await open();
  await page.page.getByRole("radio", {name: "All", exact: true}).check();
  await eventually(async () => assert.equal((await page.names()).length, names.length));
  await page.page.getByRole("button", {name: /^Show all/}).click();
  for (const button of await page.page.locator("#consumer-rows .open").all()) {
    await button.focus();
    await page.page.keyboard.press("Enter");
  }
  await anotherRound(3);
  const shown = await page.names();
  for (const name of HOSTILE) assert.ok(shown.includes(name), name);
  for (const escaped of ["evil\\u{202e}gnp.exe", "two\\u{a}lines\\u{0}\\u{1b}[31m", "zero\\u{200b}width",
                         "\\u{2066}isolated", "(no name)", "שלום"]) {
    assert.ok(shown.includes(escaped), escaped);
  }
  assert.ok(await page.page.locator("#consumer-rows .escape").count() >= 5, "escapes are marked");
  assert.equal(await page.page.evaluate(() => window.pwned), undefined);
  assert.match(await page.page.title(), /slow · Sluice$/);
  const made = page.page.locator("#page :is(img, script, iframe, [onerror], [onload])");
  assert.equal(await made.count(), 0);
  assert.equal(await page.page.locator("#dashboard").isVisible(), false);
  const links = await page.page.locator("a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  assert.deepEqual(links.filter((href) => href !== null && href.startsWith("javascript")), []);
  await noScrollSideways(page);
});

async function noScrollSideways(page) {
  const wide = await page.page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const out = [...document.querySelectorAll("#page *")].filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && box.right > width + 1 && !element.closest(".unseen, .lane-label, .chart, thead");
    });
    return {scroll: document.documentElement.scrollWidth - width,
            out: out.map((element) => `${element.tagName}.${element.className}#${element.id}`)};
  });
  assert.deepEqual(wide, {scroll: 0, out: []});
}

for (const width of [360, 768, 1280]) {
  test(`${width} px wide: nothing scrolls sideways, and nothing is lost`, async () => {
    mock.answers = busy();
    mock.answers.consumers.consumers.push(...HOSTILE.map((name) => slow(0.3, {client_name: name, filter: name})));
    mock.answers.consumers.subscriptions = mock.answers.consumers.consumers.length;
    mock.answers.episodes.episodes.push(
        ...HOSTILE.map((name) => episode({client_name: name, topics: [{name, share: 1}]})));
    const page = await open({viewport: {width, height: 800}});
    await page.shows("#verdict", /consumers are slow/);
    await eventually(async () => assert.ok(await page.page.locator(".episode").count() > 0));
    await eventually(async () => assert.ok(await page.page.locator(".topic").count() > 0));
    await page.row("risk-engine").getByRole("button").click();
    await page.page.getByRole("button", {name: /^Show all/}).click();
    await noScrollSideways(page);
    assert.equal((await page.cells("risk-engine")).Cause, "does not read");
    assert.ok(await page.row("risk-engine").locator("[data-cell=cause]").isVisible());
    // Sorting is there at any width.
    await page.page.getByRole("button", {name: "Dropped", exact: true}).click();
    await eventually(async () => assert.equal((await page.names())[0], "log-tail"));
  });
}

// The contrast of every text on the page to what is behind it (WCAG 2), as [ratio, text].
async function lowContrast(page) {
  return page.page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = rgba(getComputedStyle(at).backgroundColor);
        if (colour[3] === 255) return colour;
      }
      return [255, 255, 255, 255];
    };
    const low = [];
    const texts = document.createTreeWalker(document.getElementById("page"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (texts.currentNode.data.trim() === "" || element.getClientRects().length === 0) continue;
      const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(ground(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) low.push([ratio.toFixed(2), texts.currentNode.data]);
    }
    return low;
  });
}

for (const colorScheme of ["light", "dark"]) {
  test(`${colorScheme}: every text has contrast, live and old`, async () => {
    mock.answers = busy();
    mock.answers.consumers.consumers[0].client_name = "with\u202eescape";
    const page = await open({colorScheme});
    await page.shows("#verdict", /consumers are slow/);
    await eventually(async () => assert.ok(await page.page.locator(".episode").count() > 0));
    await page.page.getByRole("radio", {name: "All", exact: true}).check();
    await page.page.locator(".open").first().click();
    const ground = await page.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = ground.match(/\d+/g).map(Number);
    assert.ok(colorScheme === "dark" ? red < 60 : red > 200, ground);
    assert.deepEqual(await lowContrast(page), []);
    await mock.stop();
    await page.shows("#verdict", /^No answer from the broker since/);
    assert.deepEqual(await lowContrast(page), []);
  });
}

test("the charts take the colours of a scheme that is chosen later", async () => {
  const page = await open({colorScheme: "light"});
  await page.shows("#verdict", "All is well.");
  await anotherRound(3);
  const pixels = () => page.page.locator("#numbers canvas").nth(1).evaluate((canvas) => {
    const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height});
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const {data} = context.getImageData(0, 0, copy.width, copy.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 255) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    }
    return [...seen];
  });
  await eventually(async () => assert.ok((await pixels()).includes("42,102,176")));
  await page.page.emulateMedia({colorScheme: "dark"});
  await eventually(async () => assert.ok((await pixels()).includes("127,178,240")));
});

test("the broker goes away and comes back: old numbers never look live", async () => {
  mock.answers.consumers = consumers([slow(0.8, {client_name: "screen"})]);
  const page = await open();
  await page.shows("#verdict", "1 consumer is slow.");
  assert.equal(await page.page.locator("#overview").getAttribute("data-age"), "live");
  await mock.stop();
  await page.shows("#verdict", /^No answer from the broker since \d\d:\d\d:\d\d \(.+ s\)\.$/);
  await page.shows("#spoken", /^No answer from the broker since \d\d:\d\d:\d\d\.$/);
  await page.shows("#retry", /^It cannot be reached\. Trying again/);
  for (const section of ["#facts", "#overview", "#consumers", "#episodes", "#topics"]) {
    await eventually(async () =>
      assert.equal(await page.page.locator(section).getAttribute("data-age"), "old", section));
    await page.shows(`${section} .age-note`, /^as of \d\d:\d\d:\d\d$/);
  }
  assert.match(await page.page.title(), /^No answer/);
  const line = await page.page.locator("[data-number=in]").evaluate(
      (element) => getComputedStyle(element).textDecorationLine);
  assert.equal(line, "line-through");
  await mock.startAgain();
  await page.page.getByRole("button", {name: "Try now"}).click();
  await page.shows("#verdict", "1 consumer is slow.");
  for (const section of ["#facts", "#overview", "#consumers", "#episodes", "#topics"]) {
    await eventually(async () =>
      assert.equal(await page.page.locator(section).getAttribute("data-age"), "live", section));
  }
  assert.equal(await page.page.locator("#retry-now").isVisible(), false);
});

test("a broker that does not answer is asked ever more seldom, and one that comes back is found", async () => {
  const page = await open({}, (it) => it.clock.install());
  await page.shows("#verdict", "All is well.");
  mock.answers.broker = {status: 503, body: {error: "it is draining"}};
  await page.page.clock.runFor(1_500);
  await page.shows("#retry", /^It answered 503: it is draining\. Trying again in/);
  const before = mock.asked("/api/broker");
  // 1 + 2 + 4 + 8 s, then every 10 s: far fewer than 60.
  for (let second = 0; second < 60; ++second) {
    await page.page.clock.runFor(1_000);
    await page.page.evaluate(() => fetch("api/topics").then(() => null));  // what was asked before is answered, too
  }
  const asked = mock.asked("/api/broker") - before;
  assert.ok(asked >= 4 && asked <= 11, `asked ${asked} times in a minute`);
  await page.shows("#verdict", /since .*\((1 min.*|\d\d s)\)\.$/);
  mock.answers.broker = quiet().broker;
  await page.page.clock.runFor(11_000);
  await page.shows("#verdict", "All is well.");
});

test("an answer that is no JSON, and an API that is not there, are said", async () => {
  mock.answers.broker = {status: 200, body: "<html>a proxy's own page</html>"};
  const page = await open();
  await page.shows("#verdict", "No answer from the broker yet.");
  await page.shows("#retry", /^Its answer is no JSON\./);
  delete mock.answers.broker;
  await page.shows("#retry", /^It answered 404: not here\./);
  mock.answers.broker = quiet().broker;
  await page.shows("#verdict", "All is well.");
});

test("a broker that is reached and says nothing is silent, too", async () => {
  const page = await open();
  await page.shows("#verdict", "All is well.");
  mock.answers.broker = SILENCE;
  await page.shows("#verdict", /^No answer from the broker since/);
  await page.shows("#retry", /^Nothing came for 5 s\. Trying again/);
  mock.answers.broker = quiet().broker;
  await page.shows("#verdict", "All is well.");
});

test("a hidden page asks for nothing; what it shows when it comes back is marked until the next answer", async () => {
  const page = await open({}, (it) => it.clock.install());
  await page.shows("#verdict", "All is well.");
  await page.page.evaluate(() => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => true});
    document.dispatchEvent(new Event("visibilitychange"));
  });
  const before = mock.asked("/api/");
  await page.page.clock.runFor(120_000);
  assert.ok(mock.asked("/api/") <= before + 4, "at most what was on its way");
  const marked = await page.page.evaluate(() => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => false});
    document.dispatchEvent(new Event("visibilitychange"));
    // Before an answer can have come.
    return [document.getElementById("verdict").textContent, document.getElementById("overview").dataset.age];
  });
  assert.deepEqual(marked, ["Asking the broker …", "old"]);
  await page.shows("#verdict", "All is well.");
});

test("paused: nothing is asked, and the page says so", async () => {
  const page = await open({}, (it) => it.clock.install());
  await page.shows("#verdict", "All is well.");
  const pause = page.page.getByRole("button", {name: "Pause"});
  await pause.click();
  assert.equal(await pause.getAttribute("aria-pressed"), "true");
  await page.shows("#verdict", /^Paused at \d\d:\d\d:\d\d: nothing here is newer\.$/);
  assert.equal(await page.page.locator("#consumers").getAttribute("data-age"), "old");
  const before = mock.asked("/api/");
  await page.page.clock.runFor(60_000);
  assert.ok(mock.asked("/api/") <= before + 4, "at most what was on its way");
  await pause.click();
  await page.shows("#verdict", "All is well.");
});

test("a broker that starts anew does not make a negative rate", async () => {
  mock.answers.broker = running({messagesIn: 50_000});
  const page = await open();
  await page.shows("[data-number=in]", /^(49|50),\d\d\d\/s$/);
  const started = Date.now();
  mock.answers.broker = () => ({
    ...running()(), started: new Date(started).toISOString(), uptime_seconds: (Date.now() - started) / 1000,
    messages_received: Date.now() - started,
  });
  await page.shows("[data-number=in]", /^(9\d\d|1,0\d\d)\/s$/);
});

test("episodes: a timeline, and a list with all that is known of each", async () => {
  mock.answers = busy();
  const page = await open();
  await eventually(async () => assert.equal(await page.page.locator(".episode").count(), 6));
  assert.equal(await page.page.locator("#timeline .lane-track").count(), 4);
  assert.equal(await page.page.locator("#timeline rect").count(), 6);
  await page.shows("#episode-count", "6 of 23 since start");
  const cut = page.page.locator(".episode").nth(3);
  const text = (await cut.innerText()).replace(/\s+/g, " ");
  for (const part of ["risk-engine", "ticks.>", "10.0.3.17:50988", "1 min 15 s", "102 %, 7 MiB, 6,600 messages",
                      "does not read", "cut: too many bytes waited 8,215 dropped", "ticks.nyse.IBM 82 %",
                      "feed 127.0.0.1:38004 97 %"]) {
    assert.ok(text.includes(part), `${part} in: ${text}`);
  }
  assert.match(await page.page.locator("#timeline").getAttribute("aria-label"), /^Timeline of the last 1 h/);
  // The one of 21 minutes ago, in the last hour.
  const [bar, track] = await page.page.locator("#timeline rect[data-outcome=disconnected]").evaluate((rect) =>
    [rect.getBoundingClientRect(), rect.ownerSVGElement.getBoundingClientRect()].map(({x, width}) => ({x, width})));
  const from = (bar.x - track.x) / track.width;
  assert.ok(Math.abs(from - 39 / 60) < 0.02, `it begins at ${from}`);
  await page.page.getByRole("searchbox", {name: "Filter"}).fill("orders.eu");
  await eventually(async () => assert.equal(await page.page.locator(".episode").count(), 1));
  await page.shows("#episode-rows", /goes on/);
});

test("many episodes: the first ones, and all when asked for", async () => {
  mock.answers.episodes = episodes(Array.from({length: 60}, (_, i) => episode({
    client_name: `consumer-${i}`, began: ago(60 * i + 1)})));
  const page = await open();
  await eventually(async () => assert.equal(await page.page.locator(".episode").count(), 10));
  await page.shows("#lanes-left-out", "50 more consumers in the list.");
  await page.page.getByRole("button", {name: "Show all 60"}).click();
  assert.equal(await page.page.locator(".episode").count(), 60);
  await page.page.getByRole("button", {name: "Show the first 10 only"}).click();
  assert.equal(await page.page.locator(".episode").count(), 10);
});

test("the busiest topics, and who receives one", async () => {
  mock.answers = busy();
  mock.answers.consumers = (url) => {
    const wanted = new URL(url, "http://x").searchParams.get("topic");
    const all = busy().consumers.consumers;
    return consumers(wanted === "logs.web.access" ? all.filter((one) => one.filter === "logs.>") : all);
  };
  mock.answers.topics.topics.push(topic({topic: "quiet", publishers: []}));
  mock.answers.topics.shards_missing = 1;
  const page = await open();
  await page.shows("#topics-missing", "1 shard did not answer in time.");
  await page.shows("#topic-rows tr:nth-child(4)", /quiet.*–$/);
  await page.shows("#topic-rows", /logs\.web\.access.*5,200\/s.*5\.34 MiB\/s.*3.*web-1 10\.0\.4\.2:55001 58 % web-2/);
  await page.page.getByRole("button", {name: "logs.web.access"}).click();
  await page.showsNames(["log-tail"]);
  await page.shows("#topic-chosen", /^Only who receives logs\.web\.access/);
  // The others are still slow.
  await page.shows("#verdict", /^4 consumers are slow/);
  await page.page.getByRole("button", {name: "All topics"}).click();
  await eventually(async () => assert.equal((await page.names()).length, 14));
});

test("the first of many: the page says that it sees only a part", async () => {
  mock.answers.broker = running({lagging_subscriptions: 250, subscriptions: 10_000});
  mock.answers.consumers = consumers([slow(0.9, {time_to_limit_seconds: 3})],
                                     {subscriptions: 10_000, shards_missing: 1});
  const page = await open();
  const missing = "1 shard did not answer in time.";
  await page.shows("#verdict", `250 consumers are slow, the nearest is cut in about 3 s. ${missing}`);
  await page.shows("#consumers-left-out", `Only 1 are looked at, those with the most bytes waiting. ${missing}`);
});

test("a dashboard has a link when it is http", async () => {
  mock.answers = busy();
  const page = await open();
  const link = page.page.getByRole("link", {name: "Dashboard"});
  await link.waitFor();
  assert.equal(await link.getAttribute("href"), "https://grafana.example/d/sluice");
  assert.match(await link.getAttribute("rel"), /noopener/);
  for (const dashboard_url of ["", "javascript:alert(1)", "data:text/html,x", "ftp://x.example/", "//", "dashboards"]) {
    mock.answers.broker = running({dashboard_url});
    await link.waitFor({state: "hidden"});
    mock.answers.broker = running({dashboard_url: "http://127.0.0.1:9090/"});
    await link.waitFor();
  }
});

test("nothing moves for who wants no motion", async () => {
  mock.answers = busy();
  const page = await open({reducedMotion: "reduce"});
  await page.shows("#verdict", /consumers are slow/);
  const durations = await page.page.locator(".bar-fill").evaluateAll((all) =>
    all.map((element) => getComputedStyle(element).transitionProperty));
  assert.ok(durations.length > 0 && durations.every((property) => property === "none"), String(durations));
});

test("the policy holds: HTML from a string, scripts and styles of others are refused", async () => {
  const page = await open();
  await page.shows("#verdict", "All is well.");
  const refused = await page.page.evaluate(() => {
    try {
      document.getElementById("verdict").innerHTML = "<b>x</b>";
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(refused, "innerHTML");
  await eventually(async () => assert.ok(page.faults.length > 0));
  await page.page.evaluate(() => {
    const script = document.createElement("script");
    script.append("window.pwned = 1");
    document.body.append(script);
    document.getElementById("verdict").setAttribute("style", "color: red");
  }).catch(() => {});
  assert.equal(await page.page.evaluate(() => window.pwned), undefined);
  page.faults.length = 0;  // they were wanted here
});
