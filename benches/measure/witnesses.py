"""The same from other tools: wrk, whom everybody knows, and h2load for HTTP/2."""

import re
import statistics
import subprocess

from .accounting import time_of
from .cases import CASES, FIELDS
from .processes import Failed

PEERS = ("nginx", "haproxy", "staleguard")


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
    """What each request costs a proxy, in microseconds."""
    pids = peer.pids()
    before = time_of(pids)
    requests = says(run(rig, command))
    return (time_of(pids) - before).total / requests * 1e6


def compared(rig, asked, title, note, commands, says):
    """A row for each proxy: its median, and that of the ratios to nginx."""
    rounds = []
    for _ in range(asked.rounds):
        peers = {name: rig.peers[name] for name in PEERS}
        rounds.append({name: cost(rig, peer, commands(peer), says) for name, peer in peers.items()})
    for name in PEERS:
        ratio = statistics.median(one[name] / one["nginx"] for one in rounds)
        median = statistics.median(one[name] for one in rounds)
        text = f"{median:.1f} µs, {ratio:.2f} × nginx"
        yield {"title": f"{title}: {name}", "text": text, "value": median, "note": note}


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
