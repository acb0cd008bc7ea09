"""Counts that no noisy machine can blur, held against what benches/gates.toml allows."""

import argparse
import json
import os
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from . import build, packages, table
from .cases import CASES
from .processes import Failed, Processes
from .rig import Load, Proxy, start_upstream

SIZE = 1024
# How many requests each connection sends in the shorter and in the longer run, and how many connections there are: the
# difference of the two is free of start and end. Under valgrind everything takes fifty times as long.
RUNS = {"syscalls": (500, 2500, 1), "instructions": (25, 150, 8)}
# The same for context switches, which take no second run: they are counted while requests are under way.
BUSY = (200, 64)
KINDS = {"syscalls": "system calls", "instructions": "instructions", "switches": "context switches"}
# How many documents are read before as many are written. So few that none shares its place in the proxy's table of
# generations with another, which would cost a question now and then.
WARM = 25
# Calls that depend on how many events come at once, and so on the machine.
EPOLL = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl"}
# A count may be so much below what is allowed before the table says that the bound can be lowered.
SLACK = 0.04


@dataclass
class Figure:
    """What was measured of a case, what is allowed, and where it is to go."""

    case: str
    kind: str
    measured: float
    allowed: float | None
    target: float | None

    @property
    def is_over(self):
        """Whether it is more than is allowed, or was never allowed."""
        return self.allowed is None or self.measured > self.allowed

    @property
    def word(self):
        """What to say of it."""
        if self.allowed is None:
            return "has no bound"
        if self.is_over:
            return "OVER"
        is_there = self.target is not None and self.allowed <= self.target
        return "lower the bound" if not is_there and self.measured < self.allowed * (1 - SLACK) else ""


def system_calls(summary):
    """How many calls a summary of strace counts, those of epoll left out, by name."""
    counts = {}
    for line in summary.splitlines():
        # % time, seconds, usecs/call, calls, errors if any, name
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found[2] != "total" and found[2] not in EPOLL:
            counts[found[2]] = int(found[1])
    return counts


def instructions(output):
    """How many instructions callgrind has counted."""
    found = re.search(r"^(?:summary|totals): (\d+)", output, re.MULTILINE)
    if not found:
        raise Failed("callgrind has written no sum")
    return int(found[1])


def drive(processes, cpus, address, case, amount, connections, around=lambda send: send()):
    """Sends so many requests over each connection, and what has to come before them."""
    each, rounds = (WARM, amount // WARM) if case.warm else (amount, 1)
    learn = WARM if case.warm else 1 if case.if_match else 0
    words = [*case.arguments(SIZE), "--connections", connections, "--each", each, "--learn", learn]
    load = Load(processes, cpus, address, words)
    for number in range(rounds):
        if number:
            load.again()
        around(load.go)
    load.end()


class Counter:
    """Runs a case under a tool, twice, and takes the difference."""

    def __init__(self, processes, cpus, upstream):
        self.processes, self.cpus, self.upstream = processes, cpus, upstream

    def once(self, case, amount, connections, tool):
        """What a tool has written down of a run."""
        output = self.processes.folder / "counted"
        output.unlink(missing_ok=True)
        under = {
            "strace": ["strace", "-f", "-c", "-o", output],
            "callgrind": ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"],
        }[tool]
        first = {min(self.cpus)}
        proxy = Proxy(self.processes, first, self.upstream, exclusive=case.exclusive, under=under)
        drive(self.processes, self.cpus, proxy.address, case, amount, connections)
        proxy.end()
        return output.read_text()

    def calls_by_name(self, case):
        """System calls for each request and read before it, by name."""
        short, long, connections = RUNS["syscalls"]
        few, many = (system_calls(self.once(case, amount, connections, "strace")) for amount in (short, long))
        requests = (long - short) * connections
        return {name: (many.get(name, 0) - few.get(name, 0)) / requests for name in few | many}

    def calls(self, case):
        """System calls for each request and read before it."""
        return sum(self.calls_by_name(case).values())

    def instructions(self, case):
        """Instructions for each request and read before it."""
        short, long, connections = RUNS["instructions"]
        few, many = (instructions(self.once(case, amount, connections, "callgrind")) for amount in (short, long))
        return (many - few) / ((long - short) * connections)

    def switches(self, case):
        """How often the proxy waits, for each request of many that come at a time."""
        proxy = Proxy(self.processes, {min(self.cpus)}, self.upstream, exclusive=case.exclusive)
        counted = 0

        def around(send):
            nonlocal counted
            counted -= proxy.switches()
            send()
            counted += proxy.switches()

        others = self.cpus - {min(self.cpus)} or self.cpus
        drive(self.processes, others, proxy.address, case, *BUSY, around)
        proxy.end()
        return counted / (BUSY[0] * BUSY[1])

    def measure(self, case, kind):
        """What each request costs; what the read before a warm write costs is taken off."""
        if kind == "switches":
            return self.switches(case)
        count = {"syscalls": self.calls, "instructions": self.instructions}[kind]
        whole = count(case)
        if not case.warm:
            return whole
        read = replace(case, method="GET", if_match=None, warm=False, alone=False, expect=200)
        return whole - count(read)


def read_bounds(path):
    """What is allowed, and where it is to go: by case and kind."""
    with path.open("rb") as file:
        return tomllib.load(file)


def compare(measured, bounds):
    """What was measured beside what is allowed."""
    figures = []
    for (case, kind), value in measured.items():
        bound = bounds.get(case, {}).get(kind, {})
        figures.append(Figure(case, kind, value, bound.get("allowed"), bound.get("target")))
    return figures


def rows(figures):
    """The table."""
    yield ["", "per request", "measured", "allowed", "target", ""]
    for figure in figures:
        write = "{:,.0f}".format if figure.kind == "instructions" else "{:,.2f}".format
        numbers = ["–" if n is None else write(n) for n in (figure.measured, figure.allowed, figure.target)]
        yield [CASES[figure.case].title, KINDS[figure.kind], *numbers, figure.word]


def arguments(argv):
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="benches/gates", description=__doc__)
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only these counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--no-build", action="store_true", help="take the programs that are there")
    parser.add_argument("--names", action="store_true", help="only show each case's system calls by name")
    return parser.parse_args(argv)


def show_names(counter, cases):
    """Shows which system calls are made."""
    for case in cases:
        print(f"{case.title}:")
        for name, count in sorted(counter.calls_by_name(case).items(), key=lambda item: -item[1]):
            if abs(count) >= 0.005:
                print(f"  {count:6.2f} {name}")


def main(argv):
    """Measures, prints, and says by its exit code whether anything is over."""
    asked = arguments(argv)
    packages.need({"strace": "strace", "valgrind": "valgrind", "setpriv": "util-linux"})
    if not asked.no_build:
        build.build()
    cases = [CASES[name] for name in asked.only or CASES]
    with Processes() as processes:
        cpus = os.sched_getaffinity(0)
        counter = Counter(processes, cpus, start_upstream(processes, cpus).address)
        if asked.names:
            show_names(counter, cases)
            return 0
        kinds = asked.kind or KINDS
        measured = {(case.name, kind): counter.measure(case, kind) for kind in kinds for case in cases}
    figures = compare(measured, read_bounds(build.BENCHES / "gates.toml"))
    print(table.text(list(rows(figures))))
    if asked.json:
        asked.json.write_text(json.dumps([vars(figure) for figure in figures], indent=1) + "\n")
    over = [figure for figure in figures if figure.is_over]
    if over:
        print(f"gates: {len(over)} of {len(figures)} are over what benches/gates.toml allows", file=sys.stderr)
    return 1 if over else 0
