#!/usr/bin/env python3
"""Runs the scenarios against the set-up in IM_HOME and writes performance.md with its plots.

Takes some ten minutes. What was measured is printed as it comes. Exit status 1 if a scenario failed.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import subprocess
import sys

import machine
import start
from plot import line_plot

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLOTS = "performance"

# What runs one after the other and is compared, the two parts of a message's way and the whole; what is to be
# reached.
PAIRS = {
    "50 pairs": (["--pairs", "50", "--window", "1"], "15,000/s, p99 15 ms"),
    "500 pairs, window 4": (["--pairs", "500", "--window", "4"], "20,000/s, p99 150 ms"),
    "one pair": (["--pairs", "1", "--window", "1"], "p50 0.6, p99 1.5 ms"),
}
QUICK_PAIRS = ["--pairs", "3", "--window", "2", "--seconds", "1"]
# Measured again with idle cores that do not halt, which only root can ask the kernel for.
AWAKE = ["50 pairs", "one pair"]
LATENCY_REQUESTS = "/dev/cpu_dma_latency"

# fresh: with a gateway that has held no other clients, whose memory would count for less.
Scenario = collections.namedtuple("Scenario", "name arguments quick target fresh", defaults=[False])


def can_keep_awake():
    try:
        os.close(os.open(LATENCY_REQUESTS, os.O_WRONLY))
    except OSError:
        return False
    return True


def scenarios(ca):
    """Name, arguments, those behind the scenario's name when quick, what is to be reached."""
    rows = []
    for name, (arguments, target) in PAIRS.items():
        for part in ("append", "echo", "pairs"):
            rows.append(Scenario(f"{part}, {name}", [part, *arguments, "--seconds", "10"], QUICK_PAIRS,
                                 target if part == "pairs" else ""))
    for name in AWAKE if can_keep_awake() else []:
        arguments, target = PAIRS[name]
        rows.append(Scenario(f"pairs, {name}, idle cores kept awake",
                             ["pairs", *arguments, "--seconds", "10", "--keep-awake"], [*QUICK_PAIRS, "--keep-awake"],
                             target))
    storm, idle = ["storm", "--clients", "5000"], ["idle", "--clients", "10000", "--seconds", "10"]
    quick_storm, quick_idle = ["--clients", "20", "--jitter", "0.5"], ["--clients", "30", "--seconds", "1"]
    tls = ["--ca", ca]
    return rows + [
        Scenario("fanout to 1,000", ["fanout", "--members", "1000", "--seconds", "10"],
                 ["--members", "20", "--seconds", "1"], "75,000/s, 13 µs each"),
        Scenario("fanout to 1,000, 8 in flight", ["fanout", "--members", "1000", "--window", "8", "--seconds", "10"],
                 ["--members", "20", "--window", "8", "--seconds", "1"], "300,000/s"),
        Scenario("idle, 10,000 clients", idle, quick_idle, "16 KB each", fresh=True),
        Scenario("idle, 10,000 clients, TLS", idle + tls, quick_idle + tls, "40 KB each", fresh=True),
        Scenario("storm of 5,000", storm, quick_storm, "10 s, no error"),
        Scenario("storm of 5,000, TLS", storm + tls, quick_storm + tls, "10 s, no error"),
        Scenario("storm of 5,000, TLS, sessions resumed", storm + tls + ["--resume-tls"],
                 quick_storm + tls + ["--resume-tls"], ""),
        Scenario("login", ["login", "--seconds", "10"], ["--seconds", "1"],
                 "as many as two cores hash; messages at most 2 times as slow"),
    ]


# Apart from the others: it brings a million messages along, or ten.
HISTORY = Scenario("history", ["history", "--seconds", "2", "--messages", "1000", "100000", "1000000"],
                   ["--messages", "200", "--seconds", "0.2"], "p50 1, p99 5 ms")
LONG_HISTORY = HISTORY._replace(arguments=HISTORY.arguments + ["10000000"])

RATES = [250, 500, 1000, 2000, 4000]
QUICK_RATES = [20, 40]
GROWTH = []
LONG_GROWTH = ["--max-messages", "10000000", "--max-users", "1000000", "--max-members", "10000"]
QUICK_GROWTH = ["--max-messages", "10000", "--max-users", "1000", "--max-members", "10", "--rate", "50",
                "--seconds", "1"]
# What a row shows beyond what all have.
EXTRA = ["cpu_us_per_delivery", "rss_bytes_per_client", "all_caught_up_ms", "errors", "per_second_beside_messages", "hashes_per_second",
         "refreshes_per_second", "message_ms_alone", "message_ms_beside_logins"]
PROCESSES = ("gateway", "chat", "auth", "presence", "postgres", "bench")


def cell(value):
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def verdict(good):
    return "" if good else "FAILED"


class Report:
    """Runs the scenarios and keeps what the text is made of."""

    def __init__(self, options, home):
        self.options = options
        self.home = home
        self.passed = True
        self.folder = options.out / PLOTS
        self.rows, self.cores, self.every = [], [], {}

    def run(self, arguments):
        """The figures, and whether all went well. What a scenario that broke off did not say is 0."""
        result = subprocess.run([self.options.bench, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
        lines = result.stdout.strip().splitlines()
        if not lines:
            sys.exit(f"report: im-bench {' '.join(arguments)} said nothing, status {result.returncode}")
        figures = collections.defaultdict(float, json.loads(lines[-1]))
        print(json.dumps(figures), flush=True)
        good = result.returncode == 0
        self.passed &= good
        return figures, good

    def plot(self, name, *arguments):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.svg").write_text(line_plot(*arguments), encoding="utf-8")

    def play(self, played):
        for scenario in played:
            if scenario.fresh and not self.options.quick:
                subprocess.run([ROOT / "im", "restart", "gateway"], check=True, stdout=subprocess.DEVNULL)
            quick = [scenario.arguments[0], *scenario.quick]
            figures, good = self.run(quick if self.options.quick else scenario.arguments)
            self.every[scenario.name] = figures
            latency = figures["latency_ms"]
            extra = ", ".join(f"{key} {cell(figures[key])}" for key in EXTRA if key in figures)
            self.rows.append([scenario.name, cell(figures["per_second"]), cell(latency["p50"]), cell(latency["p99"]),
                              extra, scenario.target, verdict(good)])
            shares = figures["processes"]
            self.cores.append([scenario.name, *(
                f"{shares[key]['cpu_share']:.2f}, {shares[key]['rss_bytes'] / 1e6:.0f} MB" if key in shares else ""
                for key in PROCESSES)])

    def scenarios(self):
        return f"""{table(["scenario", "per second", "p50 ms", "p99 ms", "", "to reach", ""], self.rows)}

Cores and memory of each process meanwhile:

{table(["scenario", *PROCESSES[:-1], "generator"], self.cores)}

{self.parts()}

{self.history(self.every[HISTORY.name]['pages_ms'] or {})}"""

    def parts(self):
        rows = []
        for name in PAIRS:
            append, echo, pairs = (self.every[f"{part}, {name}"]["per_second"] for part in ("append", "echo", "pairs"))
            allowed = 1 / (1 / append + 1 / echo) if append and echo else 0
            rows.append([name, cell(append), cell(echo), cell(allowed), cell(pairs),
                         f"{100 * pairs / allowed:.0f} %" if allowed else ""])
        return f"""## The whole and its parts

With as many messages in flight on as many connections: `append` stores them through im-chat's own writers and
sends nothing to anybody; `echo` is frames of the same size to the gateway, which it answers itself. The costs of
one append and of one echo added are what is allowed: 1 / (1 / append + 1 / echo). An echo counts one frame in and
one out, while a message is one in and two out, and passes between gateway and im-chat twice. To reach: 60 %, but with one pair, where there is
nothing to do at the same time: there it says which part of a message's time its parts take alone.

{table(["", "append/s", "echo/s", "allowed/s", "pairs/s", "of what is allowed"], rows)}"""

    def rates(self):
        steps = []
        quick = self.options.quick
        for rate in QUICK_RATES if quick else RATES:
            figures, good = self.run(["rate", "--rate", str(rate), "--conversations", "50" if quick else "500",
                                      "--seconds", "1" if quick else "6"])
            steps.append((rate, figures, good))
        self.plot("rate", "Latency of messages at a rate, to their last receiver", "messages a second", "ms",
                  {key: [(rate, figures["latency_ms"][key]) for rate, figures, good in steps if good]
                   for key in ("p50", "p99")})
        rows = [[f"{rate:,}", cell(figures["per_second"]), cell(figures["deliveries_per_second"]),
                 cell(figures["latency_ms"]["p50"]), cell(figures["latency_ms"]["p99"]),
                 cell(figures["cpu_us_per_message"]), verdict(good)] for rate, figures, good in steps]
        return f"""## Messages at a rate

{steps[0][1]['conversations']:.0f} conversations of mixed size, {steps[0][1]['clients']:.0f} people online. A latency counts from when a message was due until its
last receiver had it.

![Latency over rate]({PLOTS}/rate.svg)

{table(["due a second", "reached everybody", "deliveries/s", "p50 ms", "p99 ms",
        "CPU of services and PostgreSQL, µs a message", ""], rows)}"""

    def history(self, pages):
        sizes = sorted({int(key.split("_")[0]) for key in pages})
        kinds = ("newest", "by_key")
        self.plot("history", "A page of 50 out of a conversation", "messages that it holds", "ms, median",
                  {kind.replace("_", " "): [(size, pages[f"{size}_{kind}"]["p50"]) for size in sizes]
                   for kind in kinds})
        rows = [[f"{size:,}", *(f"{pages[f'{size}_{kind}']['p50']:.2f} / {pages[f'{size}_{kind}']['p99']:.2f}"
                                for kind in kinds)] for size in sizes]
        return f"""## History

![A page over the size of the conversation]({PLOTS}/history.svg)

{table(["messages", "newest, p50 / p99 ms", "by key, p50 / p99 ms"], rows)}"""

    def growth(self):
        figures, good = self.run(["growth", *(QUICK_GROWTH if self.options.quick else
                                              LONG_GROWTH if self.options.long else GROWTH)])
        axes = figures["steps"] or {}
        parts = []
        for axis, what, there, cost in (("messages", "entries in the database", "entries", "cpu_us_per_message"),
                                        ("users", "accounts in the database", "accounts", "cpu_us_per_message"),
                                        ("members", "members of each group", "", "cpu_us_per_delivery")):
            beside = [key for key in ("entries", "accounts") if key != there]
            # By what was counted, not by what was to be.
            steps = sorted(((step[there] if there else int(size), step) for size, step in axes.get(axis, {}).items()),
                           key=lambda sized: sized[0])
            of = cost.rsplit("_", 1)[1]
            self.plot(f"growth-{axis}", f"Processor time of a {of}, over {what}", what, f"µs a {of}",
                      {"all": [(size, step[cost]) for size, step in steps]})
            rows = [[f"{size:,}", *(f"{step[key]:,}" for key in beside), cell(step[cost]), *(
                cell(step["cpu_us_per_message_of"].get(key, 0.0)) for key in PROCESSES[:-1]),
                cell(step["latency_ms"]["p50"]), cell(step["latency_ms"]["p99"])] for size, step in steps]
            factor = (figures["factors"] or {}).get(axis, 0)
            least = ("To reach: flat or falling." if axis == "members" else
                     f"The dearest step costs {factor:.2f} times the cheapest; to reach: 1.5.")
            parts.append(f"""![Cost over {what}]({PLOTS}/growth-{axis}.svg)

{least}

{table([what, *beside, f"µs a {of}", *(f"{key}, µs a message" for key in PROCESSES[:-1]), "p50 ms", "p99 ms"], rows)}""")
        return f"""## Growth {verdict(good)}

Played before all that follows below; {self.found(axes)}
The same rate at each step ({cell(figures['rate'])} messages a second; fewer in large groups). Stored messages grow in
500 conversations of 1,000 people; then people grow, with half a conversation each that holds ten messages; 200
conversations out of all that are there are played in. Entries and accounts are what was in the database when a step
began. Members grow in groups that are new. Processor time is that of the services and
PostgreSQL, the idle ones' beats and vacuum included. On a machine that is busy with something else more messages go into
a batch, and each costs less: such a step looks cheap.

""" + "\n\n".join(parts)

    def found(self, axes):
        """What growth began with, which is all that its first step did not bring along itself."""
        steps = axes.get("messages", {})
        if not steps:
            return "it did not come to its first step."
        size, first = min(((int(size), step) for size, step in steps.items()), key=lambda sized: sized[0])
        text = f"its first step counted {first['entries']:,} entries and {first['accounts']:,} accounts."
        # Beside the messages there are those that say that a group was made.
        if first["entries"] > 1.2 * size or first["accounts"] > 1200:
            text += (" **The set-up was not empty when it began: the first steps are measured on old data, and say little"
                     " about growth.**")
        return text

    def start(self):
        median, longest, gap = start.measure(self.home, self.options.health, 2 if self.options.quick else 9)
        return f"""## Start

All services on an existing database, PostgreSQL running, from when the supervisor is told until all four answer that
they are healthy: {1000 * median:.0f} ms in the median, {1000 * longest:.0f} ms at most. To reach: 500 ms. They are asked
one after the other, with {1000 * start.PAUSE_SECONDS:.0f} ms between two rounds; between the last two looks at one lay
{1000 * gap:.0f} ms at most, by which these times can be too long."""


def main():
    parser = argparse.ArgumentParser(prog="./im bench report", description=__doc__.split("\n", 1)[0])
    parser.add_argument("bench", help=argparse.SUPPRESS)
    parser.add_argument("health", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs", help="folder to write to (default: docs)")
    parser.add_argument("--quick", action="store_true", help="short and small, to see that all of it works")
    parser.add_argument("--long", action="store_true",
                        help="growth to 10,000,000 messages, 1,000,000 people, 10,000 members, history of 10,000,000: half an hour more")
    options = parser.parse_args()
    home = pathlib.Path(os.environ.get("IM_HOME", ROOT / ".im")).resolve()
    # What is not there is missed before the ten minutes.
    described = machine.describe(home)
    commit = machine.first_line(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    report = Report(options, home)
    # Growth as early as can be: its first steps need a set-up that is nearly empty. All others are measured on what it
    # leaves, and history's million messages come last.
    beginning, growth = report.start(), report.growth()
    report.play(scenarios(str(home / "certs" / "ca.crt")))
    rates = report.rates()
    report.play([LONG_HISTORY if options.long else HISTORY])
    command = "./im bench report" + "".join(f" --{name}" for name in ("quick", "long") if getattr(options, name))
    text = f"""# Performance

Written by `{command}` on {datetime.date.today()}, from commit {commit}. To repeat it: a set-up of its own
(`export IM_HOME=/tmp/im-bench; ./im up --port 7600`), nothing else running, `{command}`; the scenarios and
their figures are explained in [bench/README.md](../bench/README.md).

Every run was complete: nothing lost, duplicated or reordered, or the row says FAILED.

{described}

{growth}

## Scenarios

In the same database, with all that growth left in it.

{report.scenarios()}

{rates}

{beginning}
"""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "performance.md").write_text(text, encoding="utf-8")
    print(f"report: wrote {options.out}/performance.md", file=sys.stderr)
    return 0 if report.passed else 1


sys.exit(main())
