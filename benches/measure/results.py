"""What came of the rounds, as medians and ratios."""

import statistics
from dataclasses import asdict, dataclass
from operator import attrgetter

# Whom everything is measured by, and what of it; what only one of the shapes has is left out in the others.
OTHERS = {"nginx": "nginx", "haproxy": "haproxy", "direct": "direct", "recalled": "guarded, recalled"}
MEASURES = {"cpu": "cpu_us", "rps": "rps", "p50": "p50_us", "memory": "memory"}


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
            key: Spread.of(getattr(sample, key) for sample in samples)
            for key in ("cpu_us", "user_us", "system_us", "rps", "p50_us", "p99_us", "memory", "calls")
        }
        for other, theirs in OTHERS.items():
            if theirs in labels:
                for measure, key in MEASURES.items():
                    row[f"{measure}_to_{other}"] = ratios(rounds, label, theirs, attrgetter(key))
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
    yield ["", "CPU µs", "user", "system", "× nginx", "× HAProxy", "× direct", "requests/s", "p50 µs", "MiB"]
    for label, row in found.items():
        yield [
            label,
            spread(row, "cpu_us", 1),
            f"{row['user_us']['median']:.1f}",
            f"{row['system_us']['median']:.1f}",
            *(spread(row, f"cpu_to_{other}") for other in ("nginx", "haproxy", "direct")),
            f"{row['rps']['median']:,.0f}",
            f"{row['p50_us']['median']:.0f}",
            f"{row['memory']['median'] / 2**20:.1f}",
        ]


def ratio_rows(found):
    """The table of what is beside CPU, each by that of the peers in the same round."""
    names = {"rps": "requests/s", "p50": "p50", "memory": "memory"}
    peers = {"nginx": "nginx", "haproxy": "HAProxy", "direct": "direct"}
    yield ["", *(f"{name} × {peer}" for name in names.values() for peer in peers.values())]
    for label, row in found.items():
        yield [label, *(spread(row, f"{measure}_to_{peer}") for measure in names for peer in peers)]
