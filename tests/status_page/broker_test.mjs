// The status page of a real broker: a consumer that never reads is made, and the page comes to show it.
//
//     SLUICED=build/release/broker/sluiced node --test tests/status_page/broker_test.mjs

import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {existsSync, mkdtempSync, readFileSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import path from "node:path";
import readline from "node:readline";
import {after, before, test} from "node:test";
import {fileURLToPath} from "node:url";

import {causeText, limitText} from "../../metrics/status_page/words.mjs";
import {OpenPage, eventually, startBrowser} from "./browser.mjs";

const SLUICED = process.env.SLUICED;
const PYTHON = process.env.SLUICE_PYTHON ?? "/usr/bin/python3";
const SLOW_CONSUMER = fileURLToPath(new URL("slow_consumer.py", import.meta.url));
const MIB = 1 << 20;
const LIMIT = 4 * MIB;
// A name as bad as the broker lets a client have.
const NAME = "<img src=x onerror=alert(1)><script>alert(2)</script>";
const TOPIC = "ticks.nyse.IBM";

class Broker {
  // Without a limit but for bytes: nothing is cut because this machine is slow.
  static async start() {
    const broker = new Broker();
    broker.folder = mkdtempSync(path.join(tmpdir(), "sluice-broker-"));
    const ports = path.join(broker.folder, "ports");
    broker.log = "";
    broker.process = spawn(SLUICED, [
      "--listen=127.0.0.1:0", "--http=127.0.0.1:0", `--ports-file=${ports}`, `--pending-bytes-max=${LIMIT}`,
      "--pending-age-max=1h", "--write-timeout=1h", "--ping-interval=1h", "--notsent-lowat=16KiB",
    ], {stdio: ["ignore", "ignore", "pipe"]});
    broker.process.stderr.on("data", (text) => { broker.log += text; });
    broker.ended = new Promise((resolve) => {
      broker.process.once("error", (error) => { broker.log += error; resolve(); });
      broker.process.once("exit", resolve);
    });
    await eventually(async () => {
      assert.equal(broker.process.exitCode, null, broker.log);
      assert.ok(existsSync(ports), broker.log);
    });
    const addresses = Object.fromEntries(readFileSync(ports, "utf8").trim().split("\n").map((line) => line.split("=")));
    broker.listen = addresses.listen;
    broker.origin = `http://${addresses.http}`;
    return broker;
  }

  async get(where) {
    const response = await fetch(`${this.origin}${where}`);
    return response.ok ? response.json() : null;
  }

  async end() {
    this.process.kill();
    await this.ended;
    rmSync(this.folder, {recursive: true});
  }
}

class SlowConsumer {
  constructor(broker, name) {
    const [host, port] = broker.listen.split(":");
    this.#process = spawn(PYTHON, ["-B", SLOW_CONSUMER, host, port, name, TOPIC], {stdio: ["pipe", "pipe", "inherit"]});
    this.#ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#lines = readline.createInterface({input: this.#process.stdout})[Symbol.asyncIterator]();
  }

  async says(wanted) {
    const {value, done} = await this.#lines.next();
    assert.ok(!done && wanted.test(value), `${wanted}, not ${value}`);
  }

  async publish(count) {
    this.#process.stdin.write(`${count}\n`);
    await this.says(/^published/);
  }

  async end() {
    this.#process.stdin.end();
    await this.#ended;
  }

  #process;
  #ended;
  #lines;
}

let broker;
let browser;
let missing = "";

before(async () => {
  if (!SLUICED) {
    missing = "SLUICED does not name the broker to test";
    return;
  }
  broker = await Broker.start();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await broker?.end();
});

test("the page comes to show a consumer that does not read, with its cause and numbers", async (t) => {
  if (missing) return t.skip(missing);
  const page = await OpenPage.open(browser, broker.origin);
  const consumer = new SlowConsumer(broker, NAME);
  try {
    await page.shows("#verdict", "All is well.");
    await consumer.says(/^subscribed$/);
    const found = async () => {
      const list = await broker.get("/api/consumers?sort=pending&limit=10");
      return list.consumers.find((one) => one.client_name === NAME);
    };
    // Nobody reads, so what waits stays as it is between two of these.
    await eventually(async () => {
      await consumer.publish(64);
      assert.ok((await found()).limit_share >= 0.8);
    });
    await page.shows("#verdict", /^1 consumer is slow/);
    await page.showsNames([NAME]);
    await eventually(async () => {
      const cells = await page.cells(NAME);
      assert.equal(cells.Cause, "does not read");
      assert.equal(cells.State, "falls behind");
      const now = await found();
      assert.equal(now.cause, "application");
      assert.equal(cells.Cause, causeText(now.cause));
      assert.equal(cells["Limit used"], limitText(now));
      assert.match(cells["Limit used"], /^(8|9)\d % of 4 MiB$/);
      assert.equal(await page.row(NAME).getByRole("meter").getAttribute("aria-valuenow"),
                   (now.limit_share * 100).toFixed(0));
    });
    await eventually(async () => {
      assert.equal(await page.page.locator("#episode-rows .episode").count(), 1);
      assert.equal(await page.page.locator("#timeline rect[data-outcome=going_on]").count(), 1);
    });
    await page.shows("#episode-rows", /goes on.*ticks\.nyse\.IBM 100 %.*feed/);
    await page.shows("#state", "serving");
    // Over the limit it is cut, and its episode is over.
    await consumer.publish(LIMIT / 1024);
    await page.shows("#episode-rows", /cut: too many bytes waited/);
    await page.shows("#verdict", "All is well.");
    await page.shows("#no-consumers", "Nobody has subscribed.");
    await page.shows("#cut", "1 cut since start");
    assert.equal(await page.page.locator("#page img, #page script").count(), 0);
  } finally {
    await consumer.end();
    await page.close();
  }
});

test("the answer to / has the headers that guard it", async (t) => {
  if (missing) return t.skip(missing);
  const response = await fetch(`${broker.origin}/`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/html; charset=utf-8");
  assert.match(response.headers.get("content-security-policy"),
               /^default-src 'none'; connect-src 'self'; script-src 'sha256-/);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  assert.equal(response.headers.get("referrer-policy"), "no-referrer");
});
