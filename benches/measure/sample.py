"""One proxy under load for some seconds, and what the kernel says of it."""

import os
import statistics
import time
from dataclasses import dataclass

from .accounting import NOTHING, busy_cores, foreign, memory_of, time_of, time_of_ended
from .processes import Failed
from .rig import Load
from .shapes import case_of

# How many documents are read before as many are written: so few that hardly any shares its place in the proxy's table
# of generations with another, and so many that beginning and end do not count; of large ones fewer, or reading them
# would take longer than what is measured.
WARM = 2048
WARM_BYTES = 128 * 2**20
# How many requests each connection sends before the measured ones.
WARM_UP = 20
# Of the writes that are to be recalled so many may be asked before, because of places that are shared.
ASKED = 0.03


@dataclass(frozen=True)
class Sample:
    """What came of it."""

    requests: int
    seconds: float
    # Of the proxy's processes, for each request, in microseconds.
    cpu_us: float
    user_us: float
    p50_us: float
    p99_us: float
    # With all connections open, in bytes.
    memory: int
    # What the upstream has seen, for each request.
    calls: float
    # How many cores others kept busy.
    foreign: float
    fewest: int
    most: int

    @property
    def system_us(self):
        """What of it was spent in the kernel."""
        return self.cpu_us - self.user_us

    @property
    def rps(self):
        """Requests in a second."""
        return self.requests / self.seconds


def words(shape, entry, seconds):
    """What the load is told."""
    case = case_of(entry)
    asked = [*case.arguments(shape.size, entry.straight), "--connections", shape.connections]
    if case.warm:
        each = min(WARM, WARM_BYTES // shape.size) // shape.connections
        return [*asked, "--learn", each, "--each", each], each * shape.connections
    learn = 1 if case.if_match and not entry.straight else 0
    return [*asked, "--learn", learn, "--warm-up", WARM_UP, "--seconds", seconds], learn * shape.connections


def take(rig, shape, entry, seconds):
    """Takes one sample."""
    peer = rig.peers[entry.label]
    asked, learned = words(shape, entry, seconds)
    pids = peer.pids()
    used, spent, reports, calls = NOTHING, 0.0, [], 0
    watch = Watch(rig)
    load = Load(rig.processes, rig.others, peer.address, asked)
    while True:
        seen = rig.upstream.calls()
        before = time_of(pids)
        reports.append(load.go())
        used += time_of(pids) - before
        calls += rig.upstream.calls() - seen - 1
        spent += reports[-1]["seconds"]
        if spent >= seconds or not learned or not case_of(entry).warm:
            break
        load.again()
    memory = memory_of(pids)
    load.end()
    requests = sum(report["requests"] for report in reports)
    check(entry, calls / requests)
    cpu = used.total / requests * 1e6
    return Sample(
        requests=requests,
        seconds=spent,
        cpu_us=cpu,
        user_us=cpu * used.user_share,
        p50_us=statistics.median(report["p50_us"] for report in reports),
        p99_us=statistics.median(report["p99_us"] for report in reports),
        memory=memory,
        calls=calls / requests,
        foreign=watch.foreign(),
        fewest=min(report["fewest"] for report in reports),
        most=max(report["most"] for report in reports),
    )


def check(entry, calls):
    """Whether the upstream has seen what it should; each answer's status was looked at by the load."""
    case = case_of(entry)
    least, most = {
        "refused-put": (0, 0),
        "probed-put": (2, 2),
        "warm-put": (1, 1 + ASKED),
        "warm-put-sha1": (1, 1 + ASKED),
    }.get(case.name, (1, 1))
    if entry.straight:
        least = most = 1
    if not least <= calls <= most:
        raise Failed(f"{entry.label}: the upstream saw {calls:.3f} requests for each, and not {least} to {most}")


class Rig:
    """Everything that runs: the upstream, the proxies, and who measures them."""

    def __init__(self, processes, cpus, upstream, peers):
        self.processes, self.cpus, self.upstream, self.peers = processes, cpus, upstream, peers
        self.proxy = {min(cpus)}
        self.others = cpus - self.proxy or cpus

    def time(self):
        """What all of it has used so far, this program included."""
        pids = {os.getpid(), self.upstream.pid}
        for peer in self.peers.values():
            pids.update(peer.pids())
        return time_of(pids)


class Watch:
    """What others take of the cores, from when it is made until it is asked; all that is ended meanwhile is ours."""

    def __init__(self, rig):
        self._rig, self._began = rig, time.monotonic()
        self._busy, self._before = busy_cores(rig.cpus), self._ours()

    def _ours(self):
        return (self._rig.time() + time_of_ended()).total

    def ours(self):
        """What all of it has used since then."""
        return self._ours() - self._before

    def foreign(self):
        """How many cores others have kept busy."""
        elapsed = time.monotonic() - self._began
        return foreign(busy_cores(self._rig.cpus) - self._busy, self.ours(), elapsed)
