#!/usr/bin/env python3
"""Every line of docs/security.md's tables names a test, and each test it names exists.

Usage: security.py SOURCES
"""
import pathlib
import re
import sys


def tests_of(sources):
    found = set()
    for path in (sources / "tests").rglob("*.cc"):
        found.update(f"{suite}.{name}" for suite, name in
                     re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", path.read_text(encoding="utf-8"), re.M))
    return found


def complaints(text, known, exists):
    found, rows = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells or cells[-1] in ("test", "---"):
            continue
        rows += 1
        named = re.findall(r"`([^`]+)`", cells[-1])
        if not named:
            found.append(f"line {number} names no test: {cells[0]}")
        for name in named:
            if name not in known and not ("/" in name and exists(name)):
                found.append(f"line {number} names a test that does not exist: {name}")
    if rows < 20:
        found.append(f"only {rows} lines were found")
    return found


def main(sources):
    sources = pathlib.Path(sources)
    text = (sources / "docs/security.md").read_text(encoding="utf-8")
    known = tests_of(sources)
    found = complaints(text, known, lambda name: (sources / name).exists())
    # What this is there to notice.
    gone = next(name for name in re.findall(r"`(\w+\.\w+)`", text) if name in known)
    if not complaints(text, known - {gone}, lambda name: True):
        found.append("a test that is gone is not noticed")
    if not complaints(text + "| a line | without | |\n", known, lambda name: True):
        found.append("a line without a test is not noticed")
    print("\n".join(found) or "every line has its test")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
