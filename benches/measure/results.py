"""What came of the rounds, as medians and ratios."""

import statistics
from dataclasses import asdict, dataclass

# A round in which others kept more than so many cores busy tells little.
CLEAN = 0.25


@dataclass(frozen=True)
class Round:
    """One sample of each that takes part, taken one after the other."""

    samples: dict

    @property
    def foreign(self):
        """How many cores others kept busy, at worst."""
        return max(sample.foreign for sample in self.samples.values())

    @property
    def is_clean(self):
        """Whether the machine was ours."""
        return self.foreign <= CLEAN


@dataclass(frozen=True)
class Spread:
    """A median, and how far apart the rounds were."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values):
        """The spread of some values; there is at least one."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits=2):
        """As a table shows it."""
        return f"{self.median:.{digits}f} [{self.least:.{digits}f}–{self.most:.{digits}f}]"


def ratios(rounds, label, other, value):
    """One beside another of the same round: the median of the ratios, which is not that of the medians."""
    return Spread.of(value(r.samples[label]) / value(r.samples[other]) for r in rounds)


def summary(rounds):
    """What the rounds of one shape say, by label."""
    labels = list(rounds[0].samples)
    found = {}
    for label in labels:
        samples = [r.samples[label] for r in rounds]
        row = {
            "cpu_us": Spread.of(s.cpu_us for s in samples),
            "user_us": Spread.of(s.user_us for s in samples),
            "rps": Spread.of(s.rps for s in samples),
            "p50_us": Spread.of(s.p50_us for s in samples),
            "p99_us": Spread.of(s.p99_us for s in samples),
            "memory": Spread.of(s.memory for s in samples),
            "calls": Spread.of(s.calls for s in samples),
        }
        for other in ("nginx", "haproxy", "direct"):
            if other in labels:
                row[f"cpu_to_{other}"] = ratios(rounds, label, other, lambda s: s.cpu_us)
                row[f"p50_to_{other}"] = ratios(rounds, label, other, lambda s: s.p50_us)
                row[f"rps_to_{other}"] = ratios(rounds, label, other, lambda s: s.rps)
        found[label] = row
    return found


def as_json(rounds):
    """The same for a file, with every sample."""
    rows_ = {label: {key: asdict(spread) for key, spread in row.items()} for label, row in summary(rounds).items()}
    every = [
        {"clean": r.is_clean, "foreign": r.foreign, "samples": {k: asdict(s) for k, s in r.samples.items()}}
        for r in rounds
    ]
    return {"rows": rows_, "rounds": every}


def spread(row, key, digits=2):
    """A median and its spread, as a table shows them; a dash where there is none."""
    return Spread(**row[key]).text(digits) if key in row else "–"


def rows(found):
    """The table of one shape."""
    yield ["", "CPU µs", "user µs", "× nginx", "× HAProxy", "× direct", "requests/s", "p50 µs", "× nginx", "MiB"]
    for label, row in found.items():
        yield [
            label,
            spread(row, "cpu_us", 1),
            f"{row['user_us']['median']:.1f}",
            *(spread(row, f"cpu_to_{other}") for other in ("nginx", "haproxy", "direct")),
            f"{row['rps']['median']:,.0f}",
            f"{row['p50_us']['median']:.0f}",
            spread(row, "p50_to_nginx"),
            f"{row['memory']['median'] / 2**20:.1f}",
        ]
