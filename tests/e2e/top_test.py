"""`sluice top` in a pseudo terminal, with a real broker.

    top_test.py SLUICED SLUICE
"""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

SECONDS_MAX = 120
ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])")


class Terminal:
    """A command with a terminal, of which everything that was drawn is kept."""

    def __init__(self, command, rows=24, columns=160):
        self.drawn = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text, what):
        """Only what changes is drawn; a key that means nothing lets all of it be drawn anew."""
        deadline = time.monotonic() + SECONDS_MAX
        redraw_at = time.monotonic() + 1
        while text not in ESCAPES.sub(b"", self.drawn):
            if time.monotonic() > deadline:
                sys.exit(f"FAILED: {what}; drawn so far: {self.drawn[-3000:]!r}")
            if time.monotonic() > redraw_at:
                self.press(b"\x0c")
                redraw_at = time.monotonic() + 1
            self._read()
        self.drawn = b""

    def press(self, keys):
        os.write(self.fd, keys)

    def wait_for_end(self, what):
        deadline = time.monotonic() + SECONDS_MAX
        while self._read():
            if time.monotonic() > deadline:
                sys.exit(f"FAILED: {what}; drawn so far: {self.drawn[-3000:]!r}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self):
        if not select.select([self.fd], [], [], 1)[0]:
            return True
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.drawn += more
        return bool(more)


def ports_of(ports_file):
    deadline = time.monotonic() + SECONDS_MAX
    while not ports_file.exists():
        if time.monotonic() > deadline:
            sys.exit("FAILED: the broker was not ready in time")
        time.sleep(0.01)
    return dict(line.split("=", 1) for line in ports_file.read_text().splitlines())


def check(sluiced, sluice, directory):
    ports_file = pathlib.Path(directory) / "ports"
    with subprocess.Popen(
        [sluiced, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ports-file", str(ports_file)],
        stderr=subprocess.DEVNULL,
    ) as broker:
        try:
            ports = ports_of(ports_file)
            server = ["--server", f"sluice://{ports['listen']}"]
            sub = subprocess.Popen([sluice, "sub", "quotes.*", "--name", "dash-7", *server],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                top = Terminal([sluice, "top", "--http", f"http://{ports['http']}", "--interval", "200ms"])
                top.wait_for(b"dash-7", "the consumer is shown")
                top.press(b"s")
                top.wait_for(b"by age", "s goes to the next order")
                top.press(b"/nobody\n")
                top.wait_for(b"filter: nobody", "the filter is shown")
                top.press(b"/\x1b")
                top.wait_for(b"dash-7", "without a filter the consumer is shown again")
            finally:
                sub.kill()
                sub.wait()
            top.wait_for(b"0 of 0 consumers", "it goes when its client goes")
            top.press(b"q")
            code = top.wait_for_end("q ends it")
            if code != 0:
                sys.exit(f"FAILED: q ends it with {code}")
            top = Terminal([sluice, "top", "--http", f"http://{ports['http']}"])
            top.wait_for(b"sluiced", "it starts again")
            os.kill(top.pid, signal.SIGINT)
            code = top.wait_for_end("Ctrl-C ends it")
            if code != 130:
                sys.exit(f"FAILED: Ctrl-C ends it with {code}")
            if b"\x1b[?1049l" not in top.drawn:
                sys.exit("FAILED: the terminal is not given back")
            top = Terminal([sluice, "top", "--http", f"http://{ports['http']}", "--interval", "200ms"])
            top.wait_for(b"sluiced", "it starts again")
            broker.send_signal(signal.SIGKILL)
            top.wait_for(b"no answer for", "a broker that is gone is said")
            top.press(b"q")
            if top.wait_for_end("q ends it without a broker, too") != 0:
                sys.exit("FAILED: q ends it without a broker, too")
        finally:
            broker.kill()
    print("all well")


def main():
    with tempfile.TemporaryDirectory(prefix="sluice_top_") as directory:
        check(sys.argv[1], sys.argv[2], directory)


if __name__ == "__main__":
    main()
