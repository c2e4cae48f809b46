"""Starts a broker and runs python_client.py against it.

    python_client_test.py SLUICED
"""

import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

START_SECONDS_MAX = 30


def wait_for_address(broker, ports_file):
    """The broker writes the file when it is ready."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if broker.poll() is not None:
            sys.exit(f"the broker ended with {broker.returncode} before it was ready")
        lines = ports_file.read_text().splitlines() if ports_file.exists() else []
        for line in lines:
            if line.startswith("listen="):
                return line.removeprefix("listen=").rsplit(":", 1)
        time.sleep(0.01)
    sys.exit(f"the broker was not ready within {START_SECONDS_MAX} s")


def main():
    sluiced = sys.argv[1]
    client = pathlib.Path(__file__).resolve().parent / "python_client.py"
    with tempfile.TemporaryDirectory(prefix="sluice_python_client_") as directory:
        ports_file = pathlib.Path(directory) / "ports"
        command = [sluiced, "--listen", "127.0.0.1:0", "--http", "off", "--ports-file", str(ports_file)]
        log_file = pathlib.Path(directory) / "log"
        with open(log_file, "wb") as log, subprocess.Popen(command, stderr=log) as broker:
            try:
                host, port = wait_for_address(broker, ports_file)
                client_code = subprocess.run([sys.executable, "-B", client, host, port]).returncode
            finally:
                broker.send_signal(signal.SIGTERM)
            broker_code = broker.wait()
        log_lines = log_file.read_text(encoding="utf-8").splitlines()
    print("The broker's log:", *log_lines, sep="\n")
    if broker_code != 0:
        print(f"FAILED: the broker ended with {broker_code}")
    # Whatever clients send, each line of the log is the broker's own.
    foreign = [line for line in log_lines if not re.match(r"\d{4}-\d\d-\d\dT", line)]
    if foreign:
        print("FAILED: lines in the log that the broker did not write:", *foreign, sep="\n")
    return 1 if client_code or broker_code or foreign else 0


if __name__ == "__main__":
    sys.exit(main())
