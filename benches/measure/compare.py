"""Measures Staleguard beside nginx and HAProxy in rounds, which take one after the other: A B C, A B C, and so on."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from . import build, packages, peers, picture, readme, results, rig, table
from .cases import CASES
from .footprint import measure as measure_footprint
from .processes import Processes
from .sample import Rig, take
from .shapes import selected
from .witnesses import measure as measure_witnesses

RESULTS = build.BENCHES / "results"
# How often a round is taken at most, until the machine is quiet.
ATTEMPTS = 5


def arguments(argv):
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="benches/compare",
        description=__doc__,
        epilog="The proxy has the first core to itself, the load and the upstream share the others. A round in which "
        f"other work took more than {results.CLEAN} of a core is taken again, at most {ATTEMPTS} times, and marked.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each sample takes (2)")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument(
        "--quick", action="store_true", help="only 1 KiB over 64 connections, and small counts of the rest"
    )
    parser.add_argument("--anyway", action="store_true", help="take each round once, whatever else the machine does")
    parser.add_argument("--no-build", action="store_true", help="take the programs that are there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--write-readme",
        action="store_true",
        help="write the results and the picture to benches/results, and the figures into README.md",
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="measure nothing, and take what --json has written"
    )
    return parser.parse_args(argv)


STAPLES = ("direct", "nginx", "haproxy", "staleguard")


def start(processes, names=STAPLES):
    """Starts everything that takes part."""
    cpus = os.sched_getaffinity(0)
    first = {min(cpus)}
    upstream = rig.start_upstream(processes, cpus - first or cpus)
    at = upstream.address
    starters = {
        "direct": lambda: peers.Peer("direct", at, upstream.pid, None),
        "nginx": lambda: peers.nginx(processes, first, at),
        "haproxy": lambda: peers.haproxy(processes, first, at),
        "staleguard": lambda: peers.staleguard(processes, first, at),
        "staleguard-logged": lambda: peers.staleguard(processes, first, at, "staleguard-logged", access_log=True),
        "staleguard-exclusive": lambda: peers.staleguard(processes, first, at, "staleguard-exclusive", exclusive=True),
    }
    return Rig(processes, cpus, upstream, {name: starters[name]() for name in names})


def one_round(everything, shape, seconds):
    """A sample of each that takes part."""
    return results.Round({entry.label: take(everything, shape, entry, seconds) for entry in shape.entries})


def rounds_of(everything, shape, asked):
    """All rounds of a shape; a round that others disturbed is taken again."""
    taken = []
    for number in range(asked.rounds):
        tries = []
        while not tries or not (asked.anyway or tries[-1].is_clean or len(tries) == ATTEMPTS):
            tries.append(one_round(everything, shape, asked.seconds))
            note = "" if tries[-1].is_clean else f", others took {tries[-1].foreign:.2f} of a core"
            print(f"compare: {shape.title}: round {number + 1} of {asked.rounds}{note}", file=sys.stderr)
        taken.append(min(tries, key=lambda one: one.foreign))
    return taken


def version(command):
    """What a program says of itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def machine():
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    of = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=build.ROOT, capture_output=True, text=True, check=False)
    return {
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit.stdout.strip(),
        "processor": of.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "sha_ni": "sha_ni" in of.get("flags", "").split(),
        "kernel": platform.release(),
        "nginx": version([packages.path_of("nginx"), "-v"]).removeprefix("nginx version: "),
        "haproxy": " ".join(version([packages.path_of("haproxy"), "-v"]).replace("version ", "").split()[:2]),
        "rustc": version(["rustc", "--version"]),
    }


def measure(asked):
    """Everything that was asked for."""
    found = {"machine": machine(), "rounds": asked.rounds, "seconds": asked.seconds, "shapes": {}}
    for shape in selected(asked.only, asked.quick):
        # Each anew, so that none has the memory that another shape took.
        with Processes() as processes:
            everything = start(processes, dict.fromkeys(entry.peer for entry in shape.entries))
            rounds = rounds_of(everything, shape, asked)
        found["shapes"][shape.name] = {"title": shape.title, **results.as_json(rounds)}
        print(f"\n{shape.title}\n{table.text(list(results.rows(found['shapes'][shape.name]['rows'])))}", flush=True)
    if not asked.only:
        with Processes() as processes:
            everything = start(processes)
            found["witnesses"] = measure_witnesses(everything, asked)
            found["footprint"] = measure_footprint(everything, asked)
    return found


def show(found):
    """Prints what stands beside the tables of the shapes, and what is not to be trusted."""
    for part in ("witnesses", "footprint"):
        if part in found:
            print()
            print(table.text([["", part, ""], *([row["title"], row["text"], row["note"]] for row in found[part])]))
    dirty = [
        f"{shape['title']}: {sum(not one['clean'] for one in shape['rounds'])} of {len(shape['rounds'])}"
        for shape in found["shapes"].values()
        if not all(one["clean"] for one in shape["rounds"])
    ]
    if dirty:
        print(f"\nNOT CLEAN, since other work took more than {results.CLEAN} of a core: rounds of {'; '.join(dirty)}")


def main(argv):
    """Measures, prints, and writes."""
    asked = arguments(argv)
    if asked.source:
        found = json.loads(asked.source.read_text())
    else:
        packages.need(peers.PROGRAMS)
        if not asked.no_build:
            build.build()
        found = measure(asked)
    show(found)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    if asked.json:
        asked.json.write_text(text)
    if asked.write_readme:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "latest.json").write_text(text)
        (RESULTS / "compare.svg").write_text(picture.draw(found))
        (RESULTS / "README.md").write_text(readme.report(found))
        readme.write(build.ROOT / "README.md", found)
    return 0
