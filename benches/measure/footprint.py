"""What Staleguard takes beside time for requests: memory, disk, the time to start; and what many writers do to it."""

import socket
import statistics
import time

from . import build, peers
from .accounting import memory_of, time_of
from .cases import CASES, FIELDS
from .rig import Load, write_config

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


def writers(rig, asked):
    """Rows of 64 writers, on documents of their own and on one; each write is asked before."""
    case = CASES["probed-put"]
    peer = rig.peers["staleguard"]
    for title, target in (("64 writers on 64 documents", "{}"), ("64 writers on one document", "one")):
        words = case.arguments(1024)
        words[0] = words[0].replace("{}", target)
        words += ["--learn", 1, "--warm-up", 5, "--connections", 64, "--seconds", asked.seconds]
        report, cost, _ = driven(rig, peer, rig.others, words)
        rate = report["requests"] / report["seconds"]
        share = report["fewest"] / report["most"] if report["most"] else 0
        text = f"{rate:,.0f} writes/s, {cost:.1f} µs each"
        yield row(title, rate, text, f"the one with the fewest has {share:.2f} of what the one with the most has")


def two_cores(rig, asked):
    """A row of how much dearer a request gets when two cores serve."""
    if len(rig.cpus) < 2:
        return
    costs = {1: [], 2: []}
    words = [*CASES["guarded-get-xxh3"].arguments(1024), "--connections", 64, "--seconds", asked.seconds]
    both = peers.staleguard(rig.processes, rig.cpus, rig.upstream.address, "two-cores")
    for _ in range(asked.rounds):
        for cores, peer in ((1, rig.peers["staleguard"]), (2, both)):
            costs[cores].append(driven(rig, peer, rig.cpus, [*words, "--warm-up", 5])[1])
    rig.processes.end(both.process)
    scaled = statistics.median(2 * one / two for one, two in zip(costs[1], costs[2], strict=True))
    note = "2 × CPU per request on one core ÷ that on two, with the load on both: no measured rate"
    yield row("two cores beside one", scaled, f"{scaled:.2f} ×", note)


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
    return [*found, *writers(rig, asked), *two_cores(rig, asked), *documents(rig, asked)]
