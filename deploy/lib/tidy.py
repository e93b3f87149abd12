"""tidy.py BUILD_DIR JOBS: clang-tidy on every source of ours that changed since it last passed.

What a file depends on is known to Ninja from the last build, so the build must be up to date.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-Wthread-safety", "-Wthread-safety-beta", "-Wno-unknown-warning-option", "-Qunused-arguments"]


def dependencies(build):
    """Object file -> the headers of ours that it was built from."""
    found, current = {}, None
    for line in subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines():
        if line.startswith(" "):
            path = (build / line.strip()).resolve()
            if path.is_relative_to(ROOT):
                current.append(path)
        elif ": #deps" in line:
            current = found.setdefault(line.split(": #deps")[0], [])
    return found


def without_gcc_headers(commands, folder):
    """g++'s precompiled header is not clang's: a copy of its source elsewhere has none beside it."""
    for command in commands:
        found = re.search(r"-include (\S+/cmake_pch\.hxx)", command["command"])
        if found:
            source = pathlib.Path(found[1])
            copy = folder / (hashlib.sha256(found[1].encode()).hexdigest()[:16] + ".hxx")
            copy.write_bytes(source.read_bytes())
            command["command"] = command["command"].replace(found[1], str(copy))
    (folder / "compile_commands.json").write_text(json.dumps(commands))


def main():
    build, jobs = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    ours = set(subprocess.run(["git", "ls-files", "*.cc"], cwd=ROOT, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split())
    commands = json.loads((build / "compile_commands.json").read_text())
    headers = dependencies(build)
    checks = (ROOT / ".clang-tidy").read_bytes() + " ".join(FLAGS).encode()
    passed = build / "tidy"
    passed.mkdir(exist_ok=True)
    without_gcc_headers(commands, passed)

    work = []
    for command in commands:
        source = pathlib.Path(command["file"])
        if not source.is_relative_to(ROOT) or str(source.relative_to(ROOT)) not in ours:
            continue
        digest = hashlib.sha256(checks + command["command"].encode())
        output = command.get("output") or re.search(r" -o (\S+)", command["command"])[1]
        for path in sorted({source, *headers.get(output, [])}):
            digest.update(path.read_bytes())
        stamp = passed / digest.hexdigest()
        if not stamp.exists():
            work.append((source, stamp))
    print(f"{len(work)} of {len(ours)} sources changed since they last passed", flush=True)

    def check(item):
        source, stamp = item
        result = subprocess.run(
            ["clang-tidy", "--quiet", "-p", passed, *(f"--extra-arg={flag}" for flag in FLAGS), source],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode == 0:
            stamp.touch()
        return source, result

    failed, last = 0, time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        for count, (source, result) in enumerate(pool.map(check, work), 1):
            if result.returncode != 0:
                failed += 1
                print(result.stdout or result.stderr, flush=True)
            if time.monotonic() - last > 30:
                last = time.monotonic()
                print(f"{count} of {len(work)}", flush=True)
    return 1 if failed else 0


sys.exit(main())
