#!/usr/bin/env python3
"""What it costs to be looked at: scrapes and a status page beside many sessions and a healthy load.

    scrape_cost.py --build build/release
    scrape_cost.py --build build/release --sessions 15000 --subscriptions 50000 --rounds 5

Opens idle sessions with subscriptions, times scrapes of /metrics and takes the processor time that the broker spends on
one. Then runs `sluice bench` at a fixed rate to ten subscribers, in turn alone and while /metrics is scraped once a
second, and with it what the status page asks for (the page asks for two of the four less often); and the same flat
out. Prints the medians.
Needs two descriptors for each session in all, and protoc with Python's protobuf library.
"""

import argparse
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "protocol" / "python"))
import sluice_wire  # noqa: E402

SCRAPES = 30
STATUS_PAGE = ["/api/broker", "/api/consumers?sort=pending&limit=50", "/api/episodes", "/api/topics"]


class Broker:
    def __init__(self, program, sessions):
        self._folder = tempfile.TemporaryDirectory()
        ports = pathlib.Path(self._folder.name, "ports")
        self._process = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ports-file", ports,
                                          "--connections-max", str(sessions + 100), "--ping-interval", "0",
                                          "--log-level", "error"])
        while not ports.exists():
            if self._process.poll() is not None:
                sys.exit("the broker did not start")
            time.sleep(0.01)
        addresses = dict(line.split("=") for line in ports.read_text().split())
        self.clients, self.http = addresses["listen"], addresses["http"]

    def get(self, path):
        connection = http.client.HTTPConnection(self.http, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        if answer.status != 200:
            sys.exit(f"GET {path}: {answer.status}: {body}")
        return body

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self):
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def open_sessions(pb, broker, sessions, subscriptions):
    host, port = broker.clients.split(":")
    opened = []
    for i in range(sessions):
        session = sluice_wire.Session(pb, host, int(port), timeout_s=60)
        session.connect(f"idle-{i}")
        first, end = i * subscriptions // sessions, (i + 1) * subscriptions // sessions
        for number in range(first, end):
            session.subscribe(number - first + 1, f"idle.{number}")
        opened.append(session)
    return opened


def time_scrapes(broker):
    times = []
    cpu = broker.cpu_seconds()
    for _ in range(SCRAPES):
        begin = time.monotonic()
        page = broker.get("/metrics")
        times.append(time.monotonic() - begin)
        if "sluice_scrape_shards_missing 0" not in page:
            sys.exit("a shard did not answer a scrape in time")
    cpu = (broker.cpu_seconds() - cpu) / SCRAPES
    print(f"a scrape: {min(times) * 1e3:.1f} / {statistics.median(times) * 1e3:.1f} / {max(times) * 1e3:.1f} ms "
          f"(least, median, most of {SCRAPES}), {cpu * 1e3:.1f} ms of processor time, {len(page)} bytes")


class Watcher(threading.Thread):
    """Prometheus and one status page."""

    def __init__(self, broker):
        super().__init__()
        self._broker = broker
        self._ended = threading.Event()
        self.start()

    def run(self):
        while not self._ended.wait(1):
            for path in ["/metrics", *STATUS_PAGE]:
                self._broker.get(path)

    def stop(self):
        self._ended.set()
        self.join()


def bench(program, broker, arguments):
    done = subprocess.run([program, "bench", "--server", f"sluice://{broker.clients}", "--json", *arguments],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"sluice bench failed ({done.returncode}): {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def compare(name, program, broker, arguments, figures, rounds):
    """Interleaved: alone, watched, alone, watched."""
    found = {"alone": [], "watched": []}
    for _ in range(rounds):
        for way, of_way in found.items():
            watcher = Watcher(broker) if way == "watched" else None
            cpu = broker.cpu_seconds()
            report = bench(program, broker, arguments)
            report["cpu_us_per_delivery"] = (broker.cpu_seconds() - cpu) / report["delivered"] * 1e6
            of_way.append(report)
            if watcher is not None:
                watcher.stop()
    for figure, unit, scale in figures:
        values = {way: sorted(report[figure] * scale for report in reports) for way, reports in found.items()}
        ratio = statistics.median(values["watched"]) / statistics.median(values["alone"])
        spread = {way: f"{statistics.median(v):.3g} [{v[0]:.3g}-{v[-1]:.3g}]" for way, v in values.items()}
        print(f"{name}, {figure}: alone {spread['alone']}, watched {spread['watched']} {unit}; ratio {ratio:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--sessions", type=int, default=15_000)
    parser.add_argument("--subscriptions", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    broker = Broker(options.build / "broker" / "sluiced", options.sessions)
    try:
        begin = time.monotonic()
        idle = open_sessions(sluice_wire.load_protocol(), broker, options.sessions, options.subscriptions)
        print(f"{len(idle)} sessions with {options.subscriptions} subscriptions, made in {time.monotonic() - begin:.0f} s")
        time_scrapes(broker)
        program = options.build / "client" / "cli" / "sluice"
        compare("10,000 messages/s to 10", program, broker,
                ["--rate", "10k", "--subscribers", "10", "--duration", "5s"],
                [("latency_p50_seconds", "us", 1e6), ("latency_p99_seconds", "us", 1e6), ("cpu_us_per_delivery", "us", 1)],
                options.rounds)
        compare("flat out to 10", program, broker, ["--subscribers", "10", "--duration", "5s"],
                [("delivered_per_second", "M/s", 1e-6), ("cpu_us_per_delivery", "us", 1)], options.rounds)
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
