"""Starts a broker and runs python_client.py against it.

    python_client_test.py SLUICED
"""

import pathlib
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
        with subprocess.Popen(command) as broker:
            try:
                host, port = wait_for_address(broker, ports_file)
                client_code = subprocess.run([sys.executable, "-B", client, host, port]).returncode
            finally:
                broker.send_signal(signal.SIGTERM)
            broker_code = broker.wait()
    if broker_code != 0:
        print(f"FAILED: the broker ended with {broker_code}")
    return client_code or broker_code


if __name__ == "__main__":
    sys.exit(main())
