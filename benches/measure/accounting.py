"""What the kernel has counted: time on a core, memory, and who else was busy."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Time:
    """Seconds on a core, and which share of them was spent outside the kernel."""

    total: float
    user: float
    system: float

    def __sub__(self, before):
        return Time(self.total - before.total, self.user - before.user, self.system - before.system)

    def __add__(self, other):
        return Time(self.total + other.total, self.user + other.user, self.system + other.system)

    @property
    def user_share(self):
        """The share spent outside the kernel; the ticks tell only that, and the total is exact."""
        return self.user / (self.user + self.system) if self.user + self.system else 0.0


NOTHING = Time(0.0, 0.0, 0.0)


def ticks(stat):
    """Seconds outside and inside the kernel, of a process's `stat`."""
    # The name stands in parentheses and may hold anything.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def time_of(pids):
    """What these processes have used so far. Whoever has ended counts no more."""
    total = NOTHING
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        try:
            nanoseconds = sum(int(file.read_text().split()[0]) for file in folder.glob("task/*/schedstat"))
            total += Time(nanoseconds / 1e9, *ticks((folder / "stat").read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def time_of_ended():
    """What all have used that this program has started, and has waited for when they ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Time(used.ru_utime + used.ru_stime, used.ru_utime, used.ru_stime)


def busy(stat, cpus):
    """Seconds for which these cores did something, or were lent to others, of the system's `stat`."""
    total = 0
    for line in stat.splitlines():
        name, *fields = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
            total += user + nice + system + irq + softirq + steal
    return total / TICK


def busy_cores(cpus):
    """The same of this machine."""
    return busy(Path("/proc/stat").read_text(), cpus)


def foreign(busy_seconds, ours_seconds, elapsed):
    """How many cores others kept busy meanwhile."""
    return max(0.0, (busy_seconds - ours_seconds) / elapsed) if elapsed else 0.0


def memory_of(pids):
    """The proportional share of memory of these processes, in bytes: what several share counts for each in part."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total
