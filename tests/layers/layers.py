#!/usr/bin/env python3
"""Holds the tree to who may know whom (CONTRIBUTING, "Where things live").

Usage: layers.py ROOT. Prints each include that crosses a line; exit status 1 if there is one.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#include\s+["<]([^">]+)[">]', re.M)

SERVICES = ("auth", "chat", "presence")
PROCESSES = ("services", "gateway", "imctl", "bench", "tools")


def forbidden(path, include):
    """Why the file may not include this, or None."""
    parts = path.parts
    top = parts[0]
    sql = include.startswith("pqxx") or include.startswith("common/pg/")
    if sql and top in ("gateway", "imctl", "client"):
        return "no SQL here"
    if include.startswith("pqxx") and top in ("services",) and not path.name.startswith("pg_"):
        return "libpqxx belongs in pg_* files"
    if top == "services":
        for other in SERVICES:
            if other != parts[1] and include.startswith(f"services/{other}/"):
                return "services meet only through protos"
    if top == "common" and include.split("/")[0] in PROCESSES + ("client",):
        return "common knows nobody"
    if top == "client" and include.split("/")[0] in PROCESSES:
        return "the client library knows no program"
    if top in ("gateway", "imctl", "client", "tools") and include.startswith("services/"):
        return "services meet only through protos"
    if top in ("imctl", "client") and (include.startswith("im/internal/") or include.startswith("gateway/")):
        return "clients use the public API only"
    return None


def main(root):
    root = pathlib.Path(root)
    found = files = 0
    for top in ("common", "services", "gateway", "client", "imctl", "bench", "tools"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            files += 1
            relative = path.relative_to(root)
            for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
                why = forbidden(relative, include)
                if why:
                    found += 1
                    print(f"{relative}: {include}: {why}")
    print(f"{files} files, {found} includes that cross a line")
    return 1 if found or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
