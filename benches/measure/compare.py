"""Measures Staleguard beside nginx and HAProxy in rounds, which take one after the other: A B C, A B C, and so on."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from . import build, packages, peers, picture, readme, results, rig, table, targets
from .cases import CASES
from .footprint import measure as measure_footprint
from .length import length, minutes
from .processes import Processes
from .rounds import ATTEMPTS, CLEAN, rounds_of
from .sample import Rig, take
from .shapes import selected
from .witnesses import measure as measure_witnesses

RESULTS = build.BENCHES / "results"


def arguments(argv):
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="benches/compare",
        description=__doc__,
        epilog="The proxy has the first core to itself, the load and the upstream share the others. A round in which "
        f"other work took more than {CLEAN} of a core is taken again, at most {ATTEMPTS} times, and marked.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each sample takes (2)")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument(
        "--quick", action="store_true", help="only 1 KiB over 64 connections, and small counts of the rest"
    )
    parser.add_argument("--anyway", action="store_true", help="take each round once, whatever else the machine does")
    parser.add_argument("--no-build", action="store_true", help="take the programs that are there")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where latest.json, compare.svg and README.md are written to, after each table (target/compare)",
    )
    parser.add_argument(
        "--write-readme",
        action="store_true",
        help="write them at the end to benches/results, too, and the figures into the project's README.md",
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="measure nothing, and take such a latest.json"
    )
    return parser.parse_args(argv)


STAPLES = {kind: kind for kind in ("direct", "nginx", "haproxy", "staleguard")}
# The kinds of Staleguard, each by what differs in its configuration.
OURS = {"staleguard": {}, "staleguard-logged": {"access_log": True}, "staleguard-exclusive": {"exclusive": True}}


def start(processes, wanted=None):
    """Starts everything that takes part, given by its kind."""
    cpus = os.sched_getaffinity(0)
    first = {min(cpus)}
    upstream = rig.start_upstream(processes, cpus - first or cpus)
    at = upstream.address

    def peer(number, kind):
        match kind:
            case "direct":
                return peers.Peer("direct", at, upstream.pid, None)
            case "nginx":
                return peers.nginx(processes, first, at)
            case "haproxy":
                return peers.haproxy(processes, first, at)
        return peers.staleguard(processes, first, at, f"{kind}-{number}", **OURS[kind])

    kinds = enumerate((wanted or STAPLES).items())
    return Rig(processes, cpus, upstream, {name: peer(number, kind) for number, (name, kind) in kinds})


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


def measure(asked, folder):
    """Everything that was asked for. What is there after each shape is kept, should the next one fail."""
    found = {"machine": machine(), "rounds": asked.rounds, "seconds": asked.seconds, "shapes": {}}
    shapes = selected(asked.only, asked.quick)
    says(f"{minutes(length(shapes, asked))}, and more where rounds have to be taken again; {len(shapes)} tables")
    for number, shape in enumerate(shapes):
        left = minutes(length(shapes[number:], asked))
        says(f"table {number + 1} of {len(shapes)}, {left} left")
        found["shapes"][shape.name] = {"title": shape.title, **results.as_json(measure_shape(shape, asked))}
        keep(found, folder)
        rows = found["shapes"][shape.name]["rows"]
        for lines in (results.rows(rows), results.ratio_rows(rows)):
            print(f"\n{shape.title}\n{table.text(list(lines))}", flush=True)
    if not asked.only:
        says(f"memory, writers and other tools, {minutes(length([], asked))} left")
        with Processes() as processes:
            everything = start(processes)
            found["witnesses"] = measure_witnesses(everything, asked)
            found["footprint"] = measure_footprint(everything, asked)
    return found


def measure_shape(shape, asked):
    """Its rounds, by processes that are started anew, so that none has the memory that another shape took."""
    with Processes() as processes:
        everything = start(processes, {entry.label: entry.peer for entry in shape.entries})

        def sample_each():
            return {entry.label: take(everything, shape, entry, asked.seconds) for entry in shape.entries}

        return rounds_of(asked, shape.title, sample_each)


def says(text):
    """How far it is."""
    print(f"compare: {text}", file=sys.stderr, flush=True)


def keep(found, folder):
    """Writes what was found."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    (folder / "compare.svg").write_text(picture.draw(found))
    (folder / "README.md").write_text(readme.report(found))


def show(found):
    """Prints what stands beside the tables of the shapes, and what is not to be trusted."""
    for part in ("witnesses", "footprint"):
        if part in found:
            print()
            print(table.text([["", part, ""], *([row["title"], row["text"], row["note"]] for row in found[part])]))
    if lines := targets.rows(found):
        print()
        print(table.text(lines))
    dirty = [
        f"{shape['title']}: {sum(not one['clean'] for one in shape['rounds'])} of {len(shape['rounds'])}"
        for shape in found["shapes"].values()
        if not all(one["clean"] for one in shape["rounds"])
    ]
    if dirty:
        print(f"\nNOT CLEAN, since other work took more than {CLEAN} of a core: rounds of {'; '.join(dirty)}")


def main(argv):
    """Measures, prints, and writes."""
    asked = arguments(argv)
    folder = asked.output or build.folder().parent / "compare"
    if asked.source:
        found = json.loads(asked.source.read_text())
    else:
        packages.need(peers.PROGRAMS)
        if not asked.no_build:
            build.build(build.TOOLS)
        # As for the tests, it can be another one.
        if "STALEGUARD_PROGRAM" not in os.environ:
            os.environ["STALEGUARD_PROGRAM"] = str(build.ship(asked.no_build))
        found = measure(asked, folder)
    show(found)
    # What is only shown again takes no other run's place.
    if asked.output or not asked.source:
        keep(found, folder)
        says(f"written to {folder}: latest.json, compare.svg, README.md")
    if asked.write_readme:
        keep(found, RESULTS)
        readme.write(build.ROOT / "README.md", found)
    return 0
