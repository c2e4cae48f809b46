"""`sluice demo` in a pseudo terminal: the table that is drawn again in its place, and Ctrl-C.

    live_demo_terminal_test.py SLUICED SLUICE
"""

import re
import sys

from top_test import Terminal


def main():
    sluiced, sluice = sys.argv[1:]
    demo = Terminal([sluice, "demo", "--broker", sluiced, "--prometheus", "off",
                     "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], rows=40, columns=120)  # fmt: skip
    demo.wait_for(b"CONSUMER      POLICY", "there is a table")
    demo.wait_for(b"screen        missed", "what they are told is shown")
    demo.wait_for(b"settlement    block        blocking", "the states in the table change")
    demo.wait_for(b"sluiced", "the broker's line is there")
    demo.press(b"\x03")
    code = demo.wait_for_end("Ctrl-C ends it")
    if code != 130:
        sys.exit(f"FAILED: Ctrl-C ends it with {code}")
    # One blank line, the broker's, the title and eight consumers go, and the summary stands where they were.
    if not re.search(rb"\x1b\[11A\r\x1b\[J.*Of \d+ published messages?, each saw:", demo.drawn, re.S):
        sys.exit(f"FAILED: the summary does not stand in place of the table: {demo.drawn[-3000:]!r}")
    print("all well")


if __name__ == "__main__":
    main()
