// Serves the page as the broker does, with answers that a test writes.
//
//   const mock = await MockBroker.start();
//   mock.answers = quiet();                 // scenes.mjs
//   mock.answers.consumers = {status: 503, body: {error: "starting"}};
//   await mock.stop(); await mock.startAgain(); await mock.end();

import {execFileSync} from "node:child_process";
import {mkdtempSync, readFileSync, rmSync} from "node:fs";
import http from "node:http";
import {tmpdir} from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";

const BUILD = fileURLToPath(new URL("../../metrics/status_page/build.py", import.meta.url));

// {html, csp}, as they stand in the sources now.
export function buildPage() {
  const folder = mkdtempSync(path.join(tmpdir(), "sluice-page-"));
  try {
    const html = path.join(folder, "page.html");
    const csp = path.join(folder, "csp.txt");
    execFileSync("python3", ["-B", BUILD, "--html", html, "--csp", csp], {stdio: ["ignore", "inherit", "inherit"]});
    return {html: readFileSync(html), csp: readFileSync(csp, "utf8").trim()};
  } finally {
    rmSync(folder, {recursive: true});
  }
}

// As an answer: none comes, and the connection stays.
export const SILENCE = Symbol("silence");

export class MockBroker {
  static async start(page = buildPage()) {
    const mock = new MockBroker(page);
    await mock.#listen(0);
    return mock;
  }

  constructor(page) {
    this.answers = {};
    // Paths with their queries, in the order in which they were asked for.
    this.requests = [];
    this.#page = page;
  }

  get origin() {
    return `http://127.0.0.1:${this.#port}`;
  }

  // How often something below this path was asked for.
  asked(prefix) {
    return this.requests.filter((request) => request.startsWith(prefix)).length;
  }

  // Refuses connections from now on, and drops those there are.
  async stop() {
    const ended = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await ended;
  }

  async startAgain() {
    await this.#listen(this.#port);
  }

  async end() {
    if (this.#server.listening) await this.stop();
  }

  #page;
  #server;
  #port;

  async #listen(port) {
    this.#server = http.createServer((request, response) => this.#answer(request, response));
    await new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    this.#port = this.#server.address().port;
  }

  #answer(request, response) {
    this.requests.push(request.url);
    response.setHeader("Connection", "close");
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Referrer-Policy", "no-referrer");
    const {pathname} = new URL(request.url, this.origin);
    if (pathname === "/") {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.setHeader("Content-Security-Policy", this.#page.csp);
      response.end(this.#page.html);
      return;
    }
    let answer = pathname.startsWith("/api/") ? this.answers[pathname.slice("/api/".length)] : undefined;
    if (typeof answer === "function") answer = answer(request.url);
    if (answer === SILENCE) return;
    if (answer === undefined) answer = {status: 404, body: {error: "not here"}};
    if (answer.status === undefined) answer = {status: 200, body: answer};
    response.statusCode = answer.status;
    response.setHeader("Content-Type", "application/json");
    response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
  }
}
