#!/usr/bin/env python3
"""Runs the scenarios against the set-up in IM_HOME and writes performance.md with its plots.

Takes some five minutes. What was measured is printed as it comes. Exit status 1 if a scenario failed.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLOTS = "performance"

SCENARIOS = [
    # name, arguments, those behind the scenario's name when quick
    ("pairs, 50 pairs", ["pairs", "--pairs", "50", "--seconds", "10"], ["--pairs", "3", "--seconds", "1"]),
    ("pairs, 500 pairs, window 4", ["pairs", "--pairs", "500", "--window", "4", "--seconds", "10"],
     ["--pairs", "4", "--window", "4", "--seconds", "1"]),
    ("one pair alone", ["pairs", "--pairs", "1", "--seconds", "5"], ["--seconds", "1"]),
    ("fanout to 1,000", ["fanout", "--members", "1000", "--seconds", "10"], ["--members", "20", "--seconds", "1"]),
    ("fanout to 1,000, 8 in flight", ["fanout", "--members", "1000", "--window", "8", "--seconds", "10"],
     ["--members", "20", "--window", "8", "--seconds", "1"]),
    ("idle, 10,000 clients", ["idle", "--clients", "10000", "--seconds", "10"], ["--clients", "30", "--seconds", "1"]),
    ("storm of 5,000", ["storm", "--clients", "5000"], ["--clients", "20", "--jitter", "0.5"]),
    ("login", ["login", "--seconds", "10"], ["--seconds", "1"]),
    ("history", ["history", "--messages", "1000", "100000", "1000000", "--seconds", "2"],
     ["--messages", "200", "--seconds", "0.2"]),
]
RATES = [250, 500, 1000, 2000, 4000]
QUICK_RATES = [20, 40]
# What a row shows beyond what all have.
EXTRA = ["cpu_us_per_delivery", "rss_bytes_per_client", "all_caught_up_ms", "errors", "refreshes_per_second",
         "message_ms_alone", "message_ms_beside_logins"]


def run(bench, arguments):
    """The figures, and whether all went well. What a scenario that broke off did not say is 0."""
    result = subprocess.run([bench, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    lines = result.stdout.strip().splitlines()
    if not lines:
        sys.exit(f"report: im-bench {' '.join(arguments)} said nothing, status {result.returncode}")
    figures = collections.defaultdict(float, json.loads(lines[-1]))
    print(json.dumps(figures), flush=True)
    return figures, result.returncode == 0


def line_plot(title, x_name, y_name, series):
    """An SVG of one or more lines over a logarithmic x axis. series: {name: [(x, y), ...]}."""
    if not any(series.values()):
        return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 40"><text y="24">nothing was measured</text></svg>\n'
    import math
    width, height, left, bottom, top, right = 640, 360, 60, 50, 40, 120
    xs = sorted({x for points in series.values() for x, _ in points})
    most = max(y for points in series.values() for _, y in points) * 1.1 or 1
    low, high = math.log(xs[0]), math.log(xs[-1])

    def at(x, y):
        across = (math.log(x) - low) / (high - low) if high > low else 0.5
        return left + across * (width - left - right), height - bottom - y / most * (height - bottom - top)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="24" font-size="15">{title}</text>']
    for step in range(6):
        y = most * step / 5
        _, place = at(xs[0], y)
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{place:.1f}" y2="{place:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{place + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    for x in xs:
        place, _ = at(x, 0)
        out.append(f'<text x="{place:.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:,}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">{x_name}</text>')
    out.append(f'<text x="{left}" y="{top - 2}" font-size="11">{y_name}</text>')
    for (name, points), colour in zip(series.items(), ["#1b6ca8", "#d1495b", "#4f772d"]):
        places = [at(x, y) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        out.append(f'<text x="{places[-1][0] + 8:.1f}" y="{places[-1][1] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])


def first_line(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.splitlines()[0]


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def cell(value):
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


def main():
    parser = argparse.ArgumentParser(prog="./im bench report", description=__doc__.split("\n", 1)[0])
    parser.add_argument("bench", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs", help="folder to write to (default: docs)")
    parser.add_argument("--quick", action="store_true", help="short and small, to see that all of it works")
    options = parser.parse_args()
    # What is not there is missed before the five minutes.
    postgres = first_line(["psql", "--version"])
    commit = first_line(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    passed = True
    rows, cores = [], []
    pages = {}
    for name, arguments, quick in SCENARIOS:
        figures, good = run(options.bench, [arguments[0], *quick] if options.quick else arguments)
        passed &= good
        latency = figures["latency_ms"]
        extra = ", ".join(f"{key} {cell(figures[key])}" for key in EXTRA if key in figures)
        rows.append(f"| {name} | {cell(figures['per_second'])} | {cell(latency['p50'])} | {cell(latency['p99'])} | "
                    f"{extra} | {'' if good else 'FAILED'} |")
        shares = figures["processes"]
        cores.append(f"| {name} | " + " | ".join(
            f"{shares[key]['cpu_share']:.2f}, {shares[key]['rss_bytes'] / 1e6:.0f} MB" if key in shares else ""
            for key in ("gateway", "chat", "auth", "presence", "postgres", "bench")) + " |")
        pages.update(figures["pages_ms"] or {})
    steps = []
    for rate in QUICK_RATES if options.quick else RATES:
        figures, good = run(options.bench, ["rate", "--rate", str(rate), "--conversations", "50" if options.quick else "500",
                                            "--seconds", "1" if options.quick else "6"])
        passed &= good
        steps.append((rate, figures, good))

    folder = options.out / PLOTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rate.svg").write_text(line_plot(
        "Latency of messages at a rate, to their last receiver", "messages a second", "ms",
        {key: [(rate, figures["latency_ms"][key]) for rate, figures, good in steps if good] for key in ("p50", "p99")}),
        encoding="utf-8")
    sizes = sorted({int(key.split("_")[0]) for key in pages})
    (folder / "history.svg").write_text(line_plot(
        "A page of 50 out of a conversation", "messages that it holds", "ms, median",
        {kind.replace("_", " "): [(size, pages[f"{size}_{kind}"]["p50"]) for size in sizes]
         for kind in ("newest", "by_key")}), encoding="utf-8")

    text = f"""# Performance

Written by `./im bench report` on {datetime.date.today()}, from commit {commit}. To repeat it: a set-up of its own
(`export IM_HOME=/tmp/im-bench; ./im up --port 7600`), nothing else running, `./im bench report`; the scenarios and
their figures are explained in [bench/README.md](../bench/README.md).

{machine()}; services, PostgreSQL ({postgres}, fsync on) and the load generator share them.
Every run was complete: nothing lost, duplicated or reordered, or the row says FAILED.

| scenario | per second | p50 ms | p99 ms | | |
|---|---|---|---|---|---|
""" + "\n".join(rows) + """

Cores and memory of each process meanwhile:

| scenario | gateway | chat | auth | presence | postgres | generator |
|---|---|---|---|---|---|---|
""" + "\n".join(cores) + f"""

## Messages at a rate

{steps[0][1]['conversations']:.0f} conversations of mixed size, {steps[0][1]['clients']:.0f} people online. A latency counts from when a message was due until its
last receiver had it.

![Latency over rate]({PLOTS}/rate.svg)

| due a second | reached everybody | deliveries/s | p50 ms | p99 ms | CPU of services and PostgreSQL, µs a message | |
|---|---|---|---|---|---|---|
""" + "\n".join(
        f"| {rate:,} | {cell(figures['per_second'])} | {cell(figures['deliveries_per_second'])} | "
        f"{cell(figures['latency_ms']['p50'])} | {cell(figures['latency_ms']['p99'])} | "
        f"{cell(figures['cpu_us_per_message'])} | {'' if good else 'FAILED'} |" for rate, figures, good in steps) + f"""

## History

![A page over the size of the conversation]({PLOTS}/history.svg)

| messages | newest, p50 / p99 ms | by key, p50 / p99 ms |
|---|---|---|
""" + "\n".join(
        "| " + f"{size:,} | " + " | ".join(
            f"{pages[f'{size}_{kind}']['p50']:.2f} / {pages[f'{size}_{kind}']['p99']:.2f}"
            for kind in ("newest", "by_key")) + " |" for size in sizes) + "\n"
    (options.out / "performance.md").write_text(text, encoding="utf-8")
    print(f"report: wrote {options.out}/performance.md", file=sys.stderr)
    return 0 if passed else 1


sys.exit(main())
