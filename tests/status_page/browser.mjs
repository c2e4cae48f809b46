// A real browser for the tests: Debian's Chromium, without a window, driven by playwright-core.
//
// Everything that must never happen on the status page is watched all the time, and close() fails if it has happened:
// a request to another origin, a violation of the Content-Security-Policy, an error in a script, a dialog.

import assert from "node:assert/strict";

let chromium;
try {
  ({chromium} = await import("playwright-core"));
} catch (error) {
  throw new Error("playwright-core is missing: ./test.sh installs it, or npm ci --prefix tests/status_page",
                  {cause: error});
}

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const BOUND_MS = 120_000;

export function startBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    timeout: BOUND_MS,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"],
  });
}

// Repeats a check that throws until it holds.
export async function eventually(check) {
  const deadline = Date.now() + BOUND_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export class OpenPage {
  // `options` are those of a browser context: viewport, colorScheme, ... `prepare(page)` comes before the page loads.
  static async open(browser, origin, options = {}, prepare = async () => {}) {
    const context = await browser.newContext({viewport: {width: 1280, height: 900}, ...options});
    const page = await context.newPage();
    page.setDefaultTimeout(BOUND_MS);
    const faults = [];
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.origin !== origin && url.protocol !== "data:") faults.push(`a request to ${request.url()}`);
    });
    page.on("console", (message) => {
      // The browser's own words for an answer that failed, which some tests want.
      const failed = /^Failed to load resource/.test(message.text());
      if (["error", "warning"].includes(message.type()) && !failed) faults.push(`in the console: ${message.text()}`);
    });
    page.on("pageerror", (error) => faults.push(`a script failed: ${error.stack}`));
    page.on("dialog", (dialog) => {
      faults.push(`a dialog: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
    await context.exposeFunction("tellViolation", (what) => faults.push(`against the policy: ${what}`));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) =>
        tellViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    });
    await prepare(page);
    const answer = await page.goto(`${origin}/`, {timeout: BOUND_MS});
    assert.equal(answer.status(), 200, "the broker answers / with its page");
    return new OpenPage(context, page, faults);
  }

  constructor(context, page, faults) {
    this.page = page;
    this.faults = faults;
    this.#context = context;
  }

  async close() {
    await this.#context.close();
    assert.deepEqual(this.faults, []);
  }

  // What a reader sees of an element, in one line.
  async text(selector) {
    return (await this.page.locator(selector).first().innerText()).replace(/\s+/g, " ").trim();
  }

  async shows(selector, wanted) {
    await eventually(async () => {
      const found = await this.text(selector);
      if (wanted instanceof RegExp) assert.match(found, wanted);
      else assert.equal(found, wanted);
    });
  }

  // The names of the consumers that are shown, from top to bottom.
  async names() {
    return this.page.locator("#consumer-rows .open .name").allInnerTexts();
  }

  async showsNames(wanted) {
    await eventually(async () => assert.deepEqual(await this.names(), wanted));
  }

  // The row of the consumer of this name.
  row(name) {
    return this.page.locator("#consumer-rows > tr.consumer").filter({
      has: this.page.locator(".open .name", {hasText: name}),
    });
  }

  // What one row says, by column.
  async cells(name) {
    const row = this.row(name);
    const titles = await row.locator("td").evaluateAll((cells) => cells.map((cell) => cell.dataset.title));
    const texts = await row.locator("td").allInnerTexts();
    return Object.fromEntries(titles.map((title, i) => [title, texts[i].replace(/\s+/g, " ").trim()]));
  }

  #context;
}
