"""What Staleguard takes beside time for requests: memory, disk, the time to start; and what many writers do to it."""

import socket
import statistics
import time
from dataclasses import dataclass
from operator import attrgetter

from . import build, peers
from .accounting import memory_of, time_of
from .cases import CASES, FIELDS
from .results import ratios
from .rig import Load, write_config
from .rounds import disturbed, rounds_of
from .sample import Watch

IDLE = 1000
STARTS = 11


def row(title, value, text, note=""):
    """One line of what is found."""
    return {"title": title, "value": value, "text": text, "note": note}


def idle_memory(rig, name, start):
    """Rows of what a proxy takes that was just started, and what each connection adds that has asked once."""
    peer = start()
    alone = memory_of(peer.pids())
    with_idle(peer.address, 1)
    before = memory_of(peer.pids())
    sockets = with_idle(peer.address, IDLE)
    # What was asked last may be on its way through the proxy's own accounting.
    time.sleep(0.5)
    each = (memory_of(peer.pids()) - before) / IDLE
    for connection in sockets:
        connection.close()
    rig.processes.end(peer.process)
    yield row(f"idle memory: {name}", alone, f"{alone / 2**20:.1f} MiB", "PSS")
    yield row(f"idle connection: {name}", each, f"{each / 1024:.1f} KiB", f"PSS, of {IDLE} kept alive")


def with_idle(address, count):
    """Connections that have asked for something once, and stay."""
    host, port = address.split(":")
    asked = ("GET /64/plain/0 HTTP/1.1", f"Host: {address}", *FIELDS, "", "")
    found = []
    for _ in range(count):
        connection = socket.create_connection((host, int(port)), 10)
        connection.sendall("\r\n".join(asked).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(4096)
        found.append(connection)
    return found


def first_answer(rig):
    """How long it takes from the start of the process to its first answer, in seconds."""
    at = peers.free_address()
    config = write_config(rig.processes.folder / "first.toml", rig.upstream.address, listen=at)
    began = time.monotonic()
    with (rig.processes.folder / "first.log").open("w") as log:
        command = [build.program("staleguard"), "run", "--config", config]
        process = rig.processes.start(command, rig.proxy, stdout=log, stderr=log)
    host, port = at.split(":")
    while True:
        try:
            for connection in with_idle(f"{host}:{port}", 1):
                connection.close()
            break
        except ConnectionRefusedError:
            time.sleep(0.0002)
    elapsed = time.monotonic() - began
    rig.processes.end(process)
    return elapsed


def driven(rig, peer, cpus, words):
    """What the load says, and what each request cost the proxy, in microseconds."""
    load = Load(rig.processes, cpus, peer.address, words)
    pids = peer.pids()
    before = time_of(pids)
    report = load.go()
    used = time_of(pids) - before
    memory = memory_of(pids)
    load.end()
    return report, used.total / report["requests"] * 1e6, memory


@dataclass(frozen=True)
class Shot:
    """What came of a load, and what each request cost the proxy."""

    rps: float
    cpu_us: float
    # What the connection with the fewest requests has of what the one with the most has.
    share: float
    foreign: float


def shoot(rig, peer, cpus, words, seconds):
    """One shot of so many seconds, over 64 connections."""
    watch = Watch(rig)
    words = [*words, "--warm-up", 5, "--connections", 64, "--seconds", seconds]
    report, cost, _ = driven(rig, peer, cpus, words)
    share = report["fewest"] / report["most"] if report["most"] else 0.0
    return Shot(report["requests"] / report["seconds"], cost, share, watch.foreign())


def median(rounds, name, key):
    """The median of a figure."""
    return statistics.median(getattr(one.samples[name], key) for one in rounds)


# What 64 writers write to: each time something else, so that none waits for anything; each its own; all the same.
TARGETS = {"uncontended": "/1024/docs/{}-{n}", "own": "/1024/docs/{}", "same": "/1024/docs/one"}


def writers(rig, asked):
    """Rows of 64 writers, on documents of their own and on one; each write is asked before."""
    peer = rig.peers["staleguard"]
    words = {name: [target, *CASES["probed-put"].arguments(1024)[1:], "--learn", 1] for name, target in TARGETS.items()}

    def sample_each():
        return {name: shoot(rig, peer, rig.others, words[name], asked.seconds) for name in TARGETS}

    return writers_rows(rounds_of(asked, "64 writers", sample_each))


def writers_rows(rounds):
    """What the rounds of the writers say."""
    texts = {
        name: f"{median(rounds, name, 'rps'):,.0f} writes/s, {median(rounds, name, 'cpu_us'):.1f} µs each"
        for name in TARGETS
    }
    free, note = median(rounds, "uncontended", "rps"), disturbed(rounds)
    yield row("64 writers, each write to another document", free, texts["uncontended"], "nobody waits" + note)
    beside = ratios(rounds, "own", "uncontended", attrgetter("cpu_us"))
    rate = ratios(rounds, "own", "uncontended", attrgetter("rps"))
    said = f"{beside.text()} × the CPU and {rate.text()} × the writes/s of that{note}"
    yield row("64 writers on 64 documents", beside.median, texts["own"], said)
    share = min(one.samples["same"].share for one in rounds)
    said = f"the one with the fewest has {share:.2f} of what the one with the most has{note}"
    yield row("64 writers on one document", share, texts["same"], said)


def two_cores(rig, asked):
    """A row of what a second core adds."""
    if len(rig.cpus) < 2:
        return
    words = CASES["guarded-get-xxh3"].arguments(1024)
    two = set(sorted(rig.cpus)[:2])
    # Where there are but two, the load takes its part of both.
    apart = rig.cpus - two
    both = rig.peers["two-cores"] = peers.staleguard(rig.processes, two, rig.upstream.address, "two-cores")
    serving = {"one": rig.peers["staleguard"], "two": both}

    def sample_each():
        return {name: shoot(rig, peer, apart or rig.cpus, words, asked.seconds) for name, peer in serving.items()}

    rounds = rounds_of(asked, "two cores", sample_each)
    rig.processes.end(rig.peers.pop("two-cores").process)
    yield two_cores_row(rounds, len(apart))


def two_cores_row(rounds, apart):
    """What the rounds say, with the load on so many cores of its own."""
    rate = ratios(rounds, "two", "one", attrgetter("rps"))
    # What two cores could serve, if they had nothing else to do.
    cost = ratios(rounds, "one", "two", attrgetter("cpu_us"))
    if apart:
        scaled, note = rate.median, f"requests/s, with the load on {apart} further cores"
        text = f"{rate.text()} ×"
    else:
        scaled = 2 * cost.median
        text = f"{scaled:.2f} × [{2 * cost.least:.2f}–{2 * cost.most:.2f}]"
        note = f"2 × CPU per request on one core ÷ on two, as the load was on both; the rate was {rate.text()} ×"
    return row("two cores beside one", scaled, text, note + disturbed(rounds))


def released_holds(rig, asked):
    """A row of what is left of each scope that was held, once its write has ended."""
    each = 500 if asked.quick else 2_000
    # What is remembered of their documents is full at once: that is no hold's.
    peer = peers.staleguard(rig.processes, rig.proxy, rig.upstream.address, "released", remembered_max="1MiB")
    words = [*CASES["probed-put"].arguments(64)[1:], "--learn", 1, "--connections", 64, "--each"]
    # As many as fill what is bounded, such as the last decisions, over connections that come and go; and then others.
    for name in ("first", "second", "third"):
        _, _, before = driven(rig, peer, rig.others, [f"/64/docs/{name}-{{}}-{{n}}", *words, 500])
    _, _, after = driven(rig, peer, rig.others, ["/64/docs/then-{}-{n}", *words, each])
    rig.processes.end(peer.process)
    yield released_row(before, after, 64 * each)


def released_row(before, after, count):
    """What the memory before and after so many says."""
    each = (after - before) / count
    note = f"PSS, {before / 2**20:.1f} MiB before and {after / 2**20:.1f} MiB after {count:,} scopes that were written"
    return row("each released hold", each, f"{each:.1f} bytes", note)


def documents(rig, asked):
    """A row of what each remembered document takes."""
    count = 64 * (500 if asked.quick else 15_625)
    peer = peers.staleguard(
        rig.processes, rig.proxy, rig.upstream.address, "documents", exclusive=True, remembered_max="4GiB"
    )
    words = [*CASES["guarded-get-xxh3"].arguments(64), "--connections", 64]
    words[0] += "-{n}"
    driven(rig, peer, rig.others, [*words, "--each", 10])
    before = memory_of(peer.pids())
    # Numbers that begin anew would be the same documents: the ten of each connection count twice.
    _, _, after = driven(rig, peer, rig.others, [*words, "--each", count // 64])
    each = (after - before) / (count - 640)
    rig.processes.end(peer.process)
    yield row("each remembered document", each, f"{each:.0f} bytes", f"PSS, of {count:,} that were read")


def measure(rig, asked):
    """All rows."""
    at, one = rig.upstream.address, rig.proxy
    starters = {
        "nginx": lambda: peers.nginx(rig.processes, one, at),
        "haproxy": lambda: peers.haproxy(rig.processes, one, at),
        "staleguard": lambda: peers.staleguard(rig.processes, one, at, "idle"),
    }
    found = [line for name, start in starters.items() for line in idle_memory(rig, name, start)]
    size = build.program("staleguard").stat().st_size
    found.append(row("binary", size, f"{size / 2**20:.1f} MiB", "as it is built"))
    starts = [first_answer(rig) * 1000 for _ in range(3 if asked.quick else STARTS)]
    text = f"{statistics.median(starts):.1f} ms [{min(starts):.1f}–{max(starts):.1f}]"
    found.append(row("first answer after the start", statistics.median(starts), text, f"{len(starts)} starts"))
    return [*found, *writers(rig, asked), *two_cores(rig, asked), *documents(rig, asked), *released_holds(rig, asked)]
