// Takes the pictures of the status page: light, dark, and 360 px wide.
//
//     node tests/status_page/screenshots.mjs [FOLDER]      # by default metrics/status_page/screenshots

import {mkdirSync} from "node:fs";
import path from "node:path";
import {fileURLToPath} from "node:url";

import {OpenPage, eventually, startBrowser} from "./browser.mjs";
import {MockBroker} from "./mock_broker.mjs";
import {busy} from "./scenes.mjs";

const HISTORY_SECONDS = 300;

const PICTURES = [
  // The README's, which is why it is no longer.
  {name: "light.png", colorScheme: "light", viewport: {width: 1200, height: 900}, fullPage: false},
  {name: "dark.png", colorScheme: "dark", viewport: {width: 1280, height: 800}, fullPage: true},
  {name: "narrow.png", colorScheme: "light", viewport: {width: 360, height: 800}, fullPage: true},
];

// A feed that swells and ebbs, so that the charts have something to show.
function swelling() {
  const scene = busy();
  const answer = scene.broker;
  const totals = {messages_received: 0, message_received_bytes: 0, messages_delivered: 0, message_delivered_bytes: 0};
  let uptime = 7500;
  // When the last picture of the history is taken, it is now.
  const started = new Date(Date.now() - (uptime + HISTORY_SECONDS) * 1000).toISOString();
  return {...scene, broker: () => {
    ++uptime;
    const wave = 1 + 0.25 * Math.sin(uptime / 23) + 0.1 * Math.sin(uptime / 5) + 0.04 * Math.sin(uptime * 1.7);
    const growth = 0.4 + 0.6 * Math.min(1, Math.max(0, (uptime - 7600) / 200));
    totals.messages_received += 12_400 * wave;
    totals.message_received_bytes += 13_600_000 * wave;
    totals.messages_delivered += 96_300 * wave;
    totals.message_delivered_bytes += 105_900_000 * wave;
    const last = answer();
    return {...last, ...totals, started, uptime_seconds: uptime,
            pending_bytes: 28_400_000 * growth * (0.9 + 0.1 * wave),
            retained_bytes: 31_900_000 * growth + 4_000_000 * wave};
  }};
}

const folder = process.argv[2] ?? fileURLToPath(new URL("../../metrics/status_page/screenshots", import.meta.url));
mkdirSync(folder, {recursive: true});
const mock = await MockBroker.start();
const browser = await startBrowser();
try {
  for (const {name, fullPage, ...options} of PICTURES) {
    mock.answers = swelling();
    // Five minutes of the page's own clock pass as fast as it is answered.
    const page = await OpenPage.open(browser, mock.origin, options, (it) => it.clock.install());
    for (let second = 0; second < HISTORY_SECONDS; ++second) {
      const asked = mock.asked("/api/broker");
      await page.page.clock.runFor(1_000);
      await eventually(async () => {
        if (mock.asked("/api/broker") <= asked) throw new Error("the page does not ask");
      });
    }
    await page.shows("#verdict", /consumers are slow/);
    await page.page.locator(".episode").first().waitFor();
    await page.page.screenshot({path: path.join(folder, name), fullPage});
    await page.close();
    console.log(path.join(folder, name));
  }
} finally {
  await browser.close();
  await mock.end();
}
