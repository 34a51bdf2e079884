#!/usr/bin/env python3
"""Runs the benchmarks of core and sets what they print beside the kept baseline.

    core/benches/compare.py [NAME ...]          run, and compare
    core/benches/compare.py --save [NAME ...]   run, and keep what they print as the new baseline

Two machines differ in speed, and one differs from hour to hour. So a time counts as changed when its ratio to the baseline's
is far from that of most times of the same run; a length in bytes is the same everywhere, and counts as changed at once.
Exit status 1: something has become worse.
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NAMES = ["scrape", "store", "blocks", "promql", "slo", "backtest"]
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
# What times and lengths may differ by before it is worth a look.
TIME, BYTES = 1.25, 1.02
LENGTH = re.compile(r"(\d+(?:[.,]\d+)*) (?:B per|bytes)")


def run(name):
    command = ["cargo", "bench", "--quiet", "-p", "tocsin-core", "--bench", name]
    return subprocess.run(command, cwd=FOLDER.parent.parent, check=True, stdout=subprocess.PIPE, text=True).stdout


def figures(text):
    """Returns what is measured by each line, named by the line without its numbers: value, and whether it is a length in bytes."""
    found = {}
    for line in text.splitlines():
        key, length = NUMBER.sub("#", line).strip(), LENGTH.search(line)
        # A line of a table has two times in front; what stands behind the first number of another one are sums and sizes of the same.
        measured = [length[1]] if length else NUMBER.findall(line)[: 2 if key.startswith("#") else 1]
        for number in measured:
            count = 0
            while (key, count) in found:
                count += 1
            found[key, count] = (float(number.replace(",", "")), length is not None)
    return found


def compare(name, before, after):
    pairs = []
    known = figures(before)
    for (key, count), (new, is_bytes) in figures(after).items():
        old, _ = known.get((key, count), (0, is_bytes))
        if old > 0 and new > 0:
            pairs.append((key, old, new, is_bytes))
    times = [new / old for _, old, new, is_bytes in pairs if not is_bytes]
    usual = statistics.median(times) if times else 1.0
    print(f"{name}: this run takes {usual:.2f} times as long as the baseline's")
    worse = 0
    for key, old, new, is_bytes in pairs:
        ratio, limit = (new / old, BYTES) if is_bytes else (new / old / usual, TIME)
        if ratio > limit or ratio < 1 / limit:
            worse += ratio > limit
            print(f"  {'WORSE ' if ratio > limit else 'better'} {ratio:5.2f}  {old:g} -> {new:g}  {key}")
    return worse


def main():
    names = [name for name in sys.argv[1:] if name != "--save"] or NAMES
    worse = 0
    for name in names:
        kept, after = FOLDER / "baseline" / f"{name}.txt", run(name)
        if "--save" in sys.argv:
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(after)
        elif kept.exists():
            worse += compare(name, kept.read_text(), after)
        else:
            print(f"{name}: there is no baseline; keep one with --save")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
