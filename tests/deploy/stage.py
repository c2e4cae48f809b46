"""A broker with consumers that are too slow in every way, and Debian's Prometheus that watches it by the files in
deploy/.

    with Stage(sluiced, sluice) as stage:
        stage.start_load()
        prometheus = stage.start_prometheus([stage.http])
        stage.until(lambda: prometheus.query("up"), "a scrape")

Nothing here depends on how fast the machine is: what is waited for has two minutes. Everything that was started
is ended with the stage, whatever happens.
"""

import contextlib
import ctypes
import http.server
import itertools
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(ROOT / "tests" / "protocol" / "python"))
import sluice_wire  # noqa: E402

PATIENCE_S = 120
PAUSE_S = 0.1
SHARDS = 2
SMALL_BUFFER = 4096
LARGE_BUFFER = 1 << 20


class Failed(Exception):
    pass


def until(ask, what, seconds=PATIENCE_S):
    """Asks until the answer is true, and returns it. `what` may be a function that says what is missing."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what() if callable(what) else what}")
        time.sleep(PAUSE_S)
    return answer


def get(url, timeout_s=20):
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return answer.read().decode()


_prctl = ctypes.CDLL(None, use_errno=True).prctl
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For a child before it becomes another program: also a test that is killed leaves nothing behind."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Session(sluice_wire.Session):
    def receive_buffer(self, size):
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class Prometheus:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def api(self, path, **parameters):
        try:
            answer = get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        except urllib.error.HTTPError as error:
            raise Failed(f"{path} {parameters}: {error.read().decode()}") from error
        return json.loads(answer)["data"]

    def query(self, promql):
        """Pairs of labels and value."""
        result = self.api("query", query=promql)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def has_data(self, promql):
        return any(value == value for _, value in self.query(promql))  # NaN is none

    def alerts(self):
        """Labels of those that are pending or firing, by name, with their state."""
        alerts = {}
        for alert in self.api("alerts")["alerts"]:
            alerts.setdefault(alert["labels"]["alertname"], []).append((alert["state"], alert))
        return alerts

    def alert_states(self, name):
        return {state for state, _ in self.alerts().get(name, [])}


class Stage:
    def __init__(self, sluiced, sluice):
        self._sluiced = sluiced
        self._sluice = sluice
        self._clean_up = contextlib.ExitStack()

    def __enter__(self):
        directory = self._clean_up.enter_context(tempfile.TemporaryDirectory(prefix="sluice_stage_"))
        self.directory = pathlib.Path(directory)
        try:
            self._start_broker()
        except BaseException:
            self._clean_up.close()
            raise
        return self

    def __exit__(self, *_):
        self._clean_up.close()

    def start(self, name, *command):
        """A process whose output is in NAME.log."""
        log = self._clean_up.enter_context(open(self.directory / f"{name}.log", "wb"))
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
        self._clean_up.callback(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()

    def log_of(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def _start_broker(self):
        ports = self.directory / "ports"
        self.broker = self.start(
            "broker", self._sluiced, "--listen=127.0.0.1:0", "--http=127.0.0.1:0", f"--ports-file={ports}",
            f"--shards={SHARDS}", "--max-message=64KiB", "--pending-bytes-max=256KiB", "--pending-age-max=1h",
            "--notsent-lowat=16KiB",
            # Who never reads is to stay.
            "--write-timeout=0", "--ping-interval=0", "--block-timeout=1h",
        )  # fmt: skip

        def ready():
            if self.broker.poll() is not None:
                raise Failed(f"the broker ended: {self.log_of('broker')}")
            return ports.exists() and "http=" in ports.read_text()

        until(ready, "the broker")
        self.listen, self.http = (line.split("=")[1] for line in ports.read_text().split())

    def metric(self, name):
        page = get(f"http://{self.http}/metrics")
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.M))

    # Load.

    def start_load(self):
        """A feed with a consumer that keeps up and three that do not, and one that makes its publisher wait."""
        self.pb = sluice_wire.load_protocol()
        subscriptions = 0
        for name, topic, overflow in (
            ("screen", "load.>", self.pb.OVERFLOW_POLICY_DROP_NEWEST),
            ("archive", "load.>", self.pb.OVERFLOW_POLICY_DISCONNECT),
            ("board", "load.*", self.pb.OVERFLOW_POLICY_CONFLATE),
            ("batch", "jobs.>", self.pb.OVERFLOW_POLICY_BLOCK),
        ):
            self.never_read(name, topic, overflow)
            subscriptions += 1
        self.start(
            "healthy", self._sluice, "sub", "load.>", "--quiet", "--name=healthy", f"--server={self.listen}"
        )
        until(lambda: self.metric("sluice_subscriptions") == subscriptions + 1, "the subscriptions")
        for topic in ("load.ticks", "load.orders", "jobs.night"):
            self.publish(topic)
        until(lambda: self.metric("sluice_messages_dropped_total") > 0, "a drop")
        until(lambda: self.metric("sluice_slow_consumer_disconnects_total") > 0, "a cut")
        until(lambda: self.metric("sluice_blocked_publishers") > 0, "a publisher that waits")

    def publish(self, topic):
        self.start(
            f"pub.{topic}", self._sluice, "pub", topic, "--size=1KiB", "--count=1G", "--rate=300",
            "--timeout=1h", f"--name={topic}", f"--server={self.listen}",
        )  # fmt: skip

    def never_read(self, name, topic, overflow):
        host, port = self.listen.split(":")
        session = self._clean_up.enter_context(Session(self.pb, host, int(port), timeout_s=PATIENCE_S))
        session.receive_buffer(SMALL_BUFFER)
        session.connect(name)
        session.subscribe(1, topic, overflow=overflow)
        return session

    def block_and_drain(self):
        """A consumer that reads only when a write to it was blocked, and goes: its stall ends."""

        def attempt():
            blocked = self.metric("sluice_epollout_arms_total")
            drained = self.metric("sluice_write_stall_duration_seconds_count")
            session = self.never_read("pauses", "load.>", self.pb.OVERFLOW_POLICY_DROP_OLDEST)
            until(lambda: self.metric("sluice_epollout_arms_total") > blocked, "a blocked write")
            session.receive_buffer(LARGE_BUFFER)
            for _ in range(2000):
                session.next_message()
            session.close()
            return self.metric("sluice_write_stall_duration_seconds_count") > drained

        # The blocked write may have been another consumer's.
        until(attempt, "a stall that ends")

    # Prometheus.

    def start_prometheus(self, targets):
        """By the files in deploy/, but every second, and with alerts that wait for two seconds."""
        configuration = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        for old, new in (
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("scrape_timeout: 10s", "scrape_timeout: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ('["127.0.0.1:7585"]', json.dumps(targets)),
        ):
            if configuration.count(old) != 1:
                raise Failed(f"prometheus.yml does not say {old} once")
            configuration = configuration.replace(old, new)
        (self.directory / "prometheus.yml").write_text(configuration)
        (self.directory / "rules").mkdir()
        for rules in (DEPLOY / "prometheus" / "rules").glob("*.yml"):
            text = re.sub(r"\bfor: \w+", "for: 2s", rules.read_text())
            (self.directory / "rules" / rules.name).write_text(text)

        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            port = free_port()  # somebody may take it first; then it ends, and is started on another one
            server = self.start(
                "prometheus", "prometheus", f"--config.file={self.directory}/prometheus.yml",
                f"--storage.tsdb.path={self.directory}/data", f"--web.listen-address=127.0.0.1:{port}",
                f"--web.console.templates={DEPLOY}/prometheus/consoles",
            )  # fmt: skip
            prometheus = Prometheus(port)
            while server.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    get(f"{prometheus.url}/-/ready", timeout_s=1)
                    return prometheus
                time.sleep(PAUSE_S)
        raise Failed(f"prometheus did not become ready: {self.log_of('prometheus')}")

    def serve_metrics(self, page_of_scrape):
        """Something to scrape that shows the page for its first, second, ... scrape. Returns HOST:PORT."""
        scrapes = itertools.count(1)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(page_of_scrape(next(scrapes)).encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._clean_up.callback(server.server_close)
        self._clean_up.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_address[1]}"


def invented_page(scrape, client="<b>dash</b>"):
    """What a broker with three slow consumers shows, one of them called `client`. Counters grow with each scrape."""

    def escaped(text):
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    def histogram(name, bounds, each):
        counts = [each * (below + 1) for below in range(len(bounds) + 1)]
        buckets = [f'{name}_bucket{{le="{le}"}} {count}' for le, count in zip([*bounds, "+Inf"], counts)]
        return [*buckets, f"{name}_sum {counts[-1]}", f"{name}_count {counts[-1]}"]

    lines = [
        *histogram("sluice_subscription_limit_share", ["0.1", "0.25", "0.5", "0.75", "0.9", "1"], 1),
        *histogram("sluice_subscription_oldest_age_seconds", ["0.1", "1", "10"], 1),
        *histogram("sluice_delivery_latency_seconds", ["0.0001", "0.001", "0.01"], scrape),
        "sluice_build_info 1",
        "sluice_connections_open 9500",
        "sluice_connections_limit 10000",
        'sluice_shard_connections{shard="0"} 5000',
        'sluice_shard_connections{shard="1"} 4500',
        "sluice_lagging_subscriptions 3",
        "sluice_oldest_age_seconds 58.2",
        "sluice_pending_bytes_limit 8388608",
        "sluice_pending_messages_limit 131072",
        "sluice_pending_age_limit_seconds 60",
        f"sluice_gaps_sent_total {scrape}",
        f"sluice_publisher_blocked_seconds_total {scrape / 2}",
    ]
    for number, (name, share) in enumerate([("screen", 0.97), (client, 0.8), ("archive", 0.55)]):
        labels = (
            f'consumer="{number}.1",client="{escaped(name)}",address="10.0.0.{number}:4000",'
            f'filter="ticks.>"'
        )
        lines += [
            f'sluice_top_consumer_info{{consumer="{number}.1",policy="disconnect",limit="pending_bytes",'
            'cause="over_subscribed"} 1',
            f"sluice_top_consumer_limit_share{{{labels}}} {share}",
            f"sluice_top_consumer_pending_bytes{{{labels}}} {int(share * 8388608)}",
            f"sluice_top_consumer_oldest_age_seconds{{{labels}}} {share * 60}",
        ]
    return "\n".join(lines) + "\n"
