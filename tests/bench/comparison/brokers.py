"""The programs that are compared: how each is started, with which settings, and how it is stopped."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List


@dataclass(frozen=True)
class Broker:
    name: str
    protocol: str
    program: str
    # (port, folder of its own, work) -> arguments behind the program
    arguments: Callable
    # Printed, and in the report.
    settings: str
    environment: Dict[str, str] = field(default_factory=dict)
    # Prints its version.
    version: List[str] = field(default_factory=lambda: ["--version"])

    def installed(self):
        return shutil.which(self.program) is not None


def _sluice(port, folder, work):
    arguments = ["--listen", f"127.0.0.1:{port}", "--http", "off", "--log-level", "error"]
    return arguments + (["--connections-max", "100000"] if work.connections > 9000 else [])


def _nats(port, folder, work):
    return ["-a", "127.0.0.1", "-p", str(port), "-l", f"{folder}/log"]


def _redis(port, folder, work):
    return ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder,
            "--logfile", f"{folder}/log", "--maxclients", "100000" if work.connections > 9000 else "10000"]


def _mosquitto(port, folder, work):
    queued = 10000 if work.group == "isolation" else 0
    Path(folder, "conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence false\nlog_type error\n"
        f"set_tcp_nodelay true\nmax_queued_messages {queued}\nmax_queued_bytes 0\n")
    return ["-c", f"{folder}/conf"]


def brokers(build):
    """All of them by name, in the order of a round; `build` is where ours were built."""
    listed = [
        Broker("limit", "limit", f"{build}/tests/bench/kernel_limit", lambda port, folder, work: [str(port)],
               "the kernel limit program: reads of 256 KiB, one send per subscriber and read", version=[]),
        Broker("sluice", "sluice", f"{build}/broker/sluiced", _sluice,
               "defaults (one shard, pending_bytes_max 8 MiB, write_timeout 10 s); no HTTP, log level error; "
               "connections_max 100000 where the work has more than its default"),
        Broker("nats", "nats", "nats-server", _nats, "as it comes (max_pending 64 MB, write_deadline 10 s)"),
        Broker("nats-1cpu", "nats", "nats-server", _nats, "the same with GOMAXPROCS=1",
               environment={"GOMAXPROCS": "1"}),
        Broker("redis", "redis", "redis-server", _redis,
               "save '', appendonly no; client-output-buffer-limit pubsub as it comes (32 MB, 8 MB for 60 s: the "
               "window stays below); maxclients 100000 where the work has more than 10000"),
        Broker("mosquitto", "mqtt", "mosquitto", _mosquitto,
               "QoS 0, no persistence, set_tcp_nodelay; max_queued_bytes 0 (no limit) and max_queued_messages 0 (no "
               "limit), but 10000 for the isolation works, where the limit is what is measured",
               version=["-h"]),
    ]
    return {broker.name: broker for broker in listed}


class StartFailed(Exception):
    pass


# What was started and not yet stopped: whatever happens, StopAll ends them, by pid.
_running = set()


def spawn(command, **options):
    """Starts a program that stop_all() will end, out of reach of the terminal's Ctrl-C, which is ours."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    _running.add(process)
    return process


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _running.discard(process)


def stop_all():
    for process in list(_running):
        stop(process)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await_listening(process, port):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartFailed(f"ended at once with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise StartFailed(f"does not listen on port {port}")


@contextlib.contextmanager
def started(broker, work):
    """Runs the broker on a private port of loopback; yields (port, pid)."""
    with tempfile.TemporaryDirectory(prefix="sluice-compare-") as folder:
        port = _free_port()
        process = spawn([broker.program] + broker.arguments(port, folder, work), stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
                        env={**os.environ, **broker.environment})
        try:
            _await_listening(process, port)
            yield port, process.pid
        finally:
            stop(process)


def version_of(broker):
    if not broker.version:
        return ""
    output = subprocess.run([broker.program] + broker.version, capture_output=True, text=True, check=False)
    lines = (output.stdout or output.stderr).splitlines()
    return lines[0].strip() if lines else ""


def end_on_signals():
    """SIGTERM ends the comparison as Ctrl-C does."""
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)
