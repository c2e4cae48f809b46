"""The console in a browser: Debian's Prometheus and Chromium, a live broker with slow consumers, and names that
try to be more than names.

    console_test.py SLUICED SLUICE
    console_test.py SLUICED SLUICE --screenshot FILE [--seconds N]

The second form lets the load run for some time and then takes a picture instead.
"""

import argparse
import html.parser
import subprocess
import sys
import tempfile
import time
import urllib.parse

import queries
import stage as stages
from stage import Failed, until

HOSTILE = '<img src=x onerror="document.title=\'owned\'"> </td>{{ 1 }}"`\\'
BROWSER_SECONDS_MAX = 120
# By the page's clock, which stands still while it waits for an answer: long enough for it to refresh itself.
VIRTUAL_MS = 20000


class Page(html.parser.HTMLParser):
    """What of a page is looked at: texts by element, and what was drawn."""

    def __init__(self, text):
        super().__init__()
        self.root = {}
        self.tags = []
        self.errors = []
        self.cells = []
        self.title = ""
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self._inside = tag
        if tag == "html":
            self.root = attributes
        if "data-error" in attributes:
            self.errors.append(attributes["data-error"])
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        self._inside = None if tag in ("td", "title") else self._inside

    def handle_data(self, data):
        if self._inside == "title":
            self.title += data
        elif self.cells:
            self.cells[-1] += data


def browse(url, *arguments):
    """What the browser writes to its standard output when the page has settled."""
    with tempfile.TemporaryDirectory(prefix="sluice_browser_") as profile:
        command = [
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--hide-scrollbars", f"--user-data-dir={profile}",
            f"--virtual-time-budget={VIRTUAL_MS}", *arguments, url,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=BROWSER_SECONDS_MAX,
            preexec_fn=stages.die_with_parent,
        )
    if done.returncode != 0:
        raise Failed(f"chromium ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def graphs_with_data():
    """How many graphs a broker without the metrics to come has something for."""
    to_come = queries.names_to_come()
    graphs = [
        panel
        for row in queries.generate.load_panels()["rows"]
        for panel in row["panels"]
        if panel["kind"] == "graph"
    ]
    have = [
        panel
        for panel in graphs
        if any(not queries.names_in(query) & to_come for _, query in queries.generate.queries_of(panel))
    ]
    return len(have)


class Console:
    """Of a live broker, and of an invented one unless a picture is wanted."""

    def __init__(self, stage, invent):
        self.stage = stage
        targets = [stage.http]
        if invent:
            self.invented = stage.serve_metrics(lambda scrape: stages.invented_page(scrape, HOSTILE))
            targets.append(self.invented)
        self.prometheus = stage.start_prometheus(targets)
        up = f'up{{instance="{stage.http}"}} == 1'
        until(lambda: self.prometheus.query(up), "a scrape of the broker")
        stage.start_load()

    def url(self, **parameters):
        return f"{self.prometheus.url}/consoles/sluice.html?{urllib.parse.urlencode(parameters)}"

    def check_graphs(self):
        wanted = graphs_with_data()
        seen = []

        def ask():
            self.stage.block_and_drain()  # a stall that has ended in the last minute
            page = Page(browse(self.url(instance=self.stage.http, range="15m"), "--dump-dom"))
            if page.errors:
                raise Failed(f"the console says: {page.errors}")
            seen.append((page.root.get("data-drawn"), page.root.get("data-refreshed")))
            return int(seen[-1][0] or 0) >= wanted and seen[-1][1]

        until(ask, lambda: f"{wanted} graphs and a refresh, got {seen}")
        print(f"ok {wanted} graphs are drawn, and drawn anew", flush=True)

    def check_names(self):
        query = f'sluice_top_consumer_limit_share{{instance="{self.invented}"}}'
        until(lambda: len(self.prometheus.query(query)) == 3, "a scrape of the invented page")
        page = Page(browse(self.url(instance=self.invented), "--dump-dom"))
        cells = [cell.strip() for cell in page.cells]
        for name in ("screen", "archive", HOSTILE, "97%", "7.76MiB", "pending_bytes", "over_subscribed"):
            if name not in cells:
                raise Failed(f"{name!r} is not in the table of slow consumers: {cells}")
        if cells.index("screen") > cells.index("archive"):
            raise Failed(f"the nearest to its limit is not the first: {cells}")
        if "img" in page.tags or page.title != f"Sluice {self.invented}":
            raise Failed(f"a client's name became part of the page: {page.tags}, {page.title!r}")
        print("ok slow consumers stand in the table, and their names are only names", flush=True)

    def check_parameters(self):
        for parameters in (
            {"instance": HOSTILE},
            {"job": HOSTILE},
            {"rate": "1m]) or vector(1"},
            {"range": HOSTILE},
            {"job": '"} or up{job=~".+'},
        ):
            text = stages.get(self.url(**parameters))
            page = Page(text)
            if "img" in page.tags or page.root["data-rate"] != "1m":
                raise Failed(f"{parameters} became part of the page")
            if "job" in parameters and self.stage.http in text:
                raise Failed(f"{parameters} became part of the queries")
        print("ok parameters are only parameters", flush=True)


def take_picture(console, file, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        console.stage.block_and_drain()
    browse(
        console.url(instance=console.stage.http, range="5m"),
        f"--screenshot={file}",
        "--window-size=1240,1005",
    )


def main():
    parser = argparse.ArgumentParser(description="Looks at the console with a browser.")
    parser.add_argument("sluiced")
    parser.add_argument("sluice")
    parser.add_argument("--screenshot", help="write a picture of the console to this file, and check nothing")
    parser.add_argument(
        "--seconds", type=float, default=240, help="how long the load runs before the picture"
    )
    options = parser.parse_args()
    try:
        with stages.Stage(options.sluiced, options.sluice) as stage:
            console = Console(stage, invent=not options.screenshot)
            if options.screenshot:
                take_picture(console, options.screenshot, options.seconds)
                return 0
            console.check_graphs()
            console.check_names()
            console.check_parameters()
    except Failed as failure:
        print(f"FAILED: {failure}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
