"""The same from other tools: wrk, whom everybody knows, and h2load for HTTP/2."""

import re
import statistics
import subprocess
from dataclasses import dataclass
from operator import attrgetter

from .accounting import time_of
from .cases import CASES, FIELDS
from .processes import Failed
from .results import ratios
from .rounds import disturbed, rounds_of
from .sample import Watch

PEERS = ("nginx", "haproxy", "staleguard")


@dataclass(frozen=True)
class Cost:
    """What each request has cost a proxy, in microseconds, and how many cores others kept busy."""

    cpu_us: float
    foreign: float


def run(rig, command):
    """What a tool prints that runs beside the upstream."""
    command = ["taskset", "-c", ",".join(map(str, sorted(rig.others))), *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise Failed(f"{command[3]} fails: {done.stderr[-500:]}")
    return done.stdout


def wrk_says(output):
    """The number of requests; none may have gone wrong."""
    if re.search(r"Non-2xx|Socket errors", output):
        raise Failed(f"wrk has seen errors:\n{output}")
    return int(re.search(r"(\d+) requests in", output)[1])


def h2load_says(output):
    """The number of requests; none may have gone wrong."""
    found = re.search(
        r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", output
    )
    if not found or int(found[2]) or int(found[3]):
        raise Failed(f"h2load has seen errors:\n{output}")
    return int(found[1])


def cost(rig, peer, command, says):
    """What each request costs a proxy."""
    watch, pids = Watch(rig), peer.pids()
    before = time_of(pids)
    requests = says(run(rig, command))
    cpu = (time_of(pids) - before).total / requests * 1e6
    return Cost(cpu, watch.foreign())


def compared(rig, asked, title, note, commands, says):
    """A row for each proxy: its median, and that of the ratios to nginx."""

    def sample_each():
        return {name: cost(rig, rig.peers[name], commands(rig.peers[name]), says) for name in PEERS}

    rounds = rounds_of(asked, title, sample_each)
    for name in PEERS:
        ratio = ratios(rounds, name, "nginx", attrgetter("cpu_us"))
        median = statistics.median(one.samples[name].cpu_us for one in rounds)
        text = f"{median:.1f} µs, {ratio.text()} × nginx"
        yield {"title": f"{title}: {name}", "text": text, "value": median, "note": note + disturbed(rounds)}


def measure(rig, asked):
    """All rows."""
    fields = [word for field in FIELDS for word in ("-H", field)]
    seconds = max(1, round(asked.seconds))
    target = CASES["relayed-get"].target.replace("SIZE", "1024").replace("{}-{n}", "0")
    guarded = CASES["guarded-get-xxh3"].target.replace("SIZE", "1024").replace("{}-{n}", "0")

    def wrk(peer):
        return ["wrk", "-t1", "-c64", f"-d{seconds}s", *fields, f"http://{peer.address}{target}"]

    def h2load(path):
        def command(peer):
            amount = ["-n", 4000 if asked.quick else 40000, "-c", 8, "-m", 8, "-t", 1]
            return ["h2load", *amount, *fields, f"http://{peer.address2}{path}"]

        return command

    return [
        *compared(rig, asked, "wrk, GET relayed 1 KiB", "64 connections", wrk, wrk_says),
        *compared(rig, asked, "h2load, GET relayed 1 KiB", "HTTP/2, 8 × 8 streams", h2load(target), h2load_says),
        *compared(rig, asked, "h2load, GET guarded 1 KiB", "the others relay", h2load(guarded), h2load_says),
    ]
