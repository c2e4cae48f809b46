#!/usr/bin/env python3
"""Instructions per delivered message on the data path, compared with the committed ones (README.md here).

    guard.py --program PATH              compares with figures.json; fails where a cell is out of its margin
    guard.py --program PATH --update     writes figures.json anew
    guard.py --program PATH --keep DIR   leaves callgrind's profile of each cell there, for callgrind_annotate

Callgrind runs the program once for each cell and counts only within MeasuredPart(). Instructions, unlike
time, do not depend on what else the machine does; the environment below makes them the same on another
processor.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FIGURES = pathlib.Path(__file__).with_name("figures.json")
MARGIN = 0.05
MEASURED = "sluice::bench::MeasuredPart(*"

# The C library picks its memcpy by the processor: always the one that every x86-64 has. The environment is
# small and fixed, since it lies on the stack.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load,-SSSE3,"
                      "-SSE4_1,-SSE4_2,-ERMS,-FSRM:glibc.cpu.x86_non_temporal_threshold=0x1000000",
}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


def count(program, cell, profile):
    """Instructions per delivered message of one cell; `profile` is where callgrind writes."""
    delivered = int(run(["valgrind", "--tool=callgrind", "--quiet", f"--toggle-collect={MEASURED}",
                         f"--callgrind-out-file={profile}", program, cell]))
    instructions = int(re.search(r"^totals: (\d+)", profile.read_text(), re.MULTILINE)[1])
    if instructions == 0:
        sys.exit(f"nothing was counted for the cell {cell!r}: has {MEASURED} another name now?")
    return round(instructions / delivered, 2)


def measure(program, folder):
    """Instructions per delivered message of each cell, by its name."""
    return {cell: count(program, cell, folder / f"{re.sub('[^0-9A-Za-z]+', '_', cell)}.callgrind")
            for cell in run([program]).splitlines()}


def compare(expected, measured):
    """Prints a table; returns whether every cell is within the margin."""
    within = True
    print(f"{'committed':>10} {'now':>10} {'change':>8}  instructions per delivered message")
    for name in list(expected) + [name for name in measured if name not in expected]:
        before, now = expected.get(name), measured.get(name)
        if before is None or now is None:
            within = False
            print(f"{before or '-':>10} {now or '-':>10} {'new' if now else 'gone':>8}  {name}")
            continue
        change = now / before - 1
        out = abs(change) > MARGIN
        within = within and not out
        print(f"{before:>10.2f} {now:>10.2f} {change:>+8.1%}  {name}{'   <-- OUT OF THE MARGIN' if out else ''}")
    return within


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measured = measure(str(arguments.program.resolve()), folder)
    if arguments.update:
        FIGURES.write_text(json.dumps(measured, indent=2) + "\n")
        print(f"wrote {FIGURES}")
        return 0
    expected = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if compare(expected, measured):
        return 0
    print(f"\nA cell costs more, or less, than the committed figure by more than {MARGIN:.0%}. If that is what "
          f"you meant, and the\ncommit says why, write the figures anew:\n\n    {os.path.relpath(__file__)} "
          f"--program {os.path.relpath(arguments.program)} --update\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
