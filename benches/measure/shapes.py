"""Which proxies are asked what, side by side."""

from dataclasses import dataclass

from .cases import CASES

SIZES = {64: "64 B", 1024: "1 KiB", 16 * 1024: "16 KiB", 1024 * 1024: "1 MiB"}


@dataclass(frozen=True)
class Entry:
    """One that takes part: what the table calls it, what kind of proxy it is, and what it is asked.

    Each has processes of its own, so that the memory is what these requests take.
    """

    label: str
    peer: str
    case: str

    @property
    def straight(self):
        """Whether it does not guard."""
        return self.peer in ("direct", "nginx", "haproxy")


@dataclass(frozen=True)
class Shape:
    """Requests of one method and size over so many connections, and who takes part."""

    method: str
    size: int
    connections: int
    entries: tuple

    @property
    def name(self):
        """Its key in the results."""
        return f"{self.method}-{self.size}-{self.connections}"

    @property
    def title(self):
        """What the table says above it."""
        plural = "connections" if self.connections > 1 else "connection"
        return f"{self.method} {SIZES[self.size]}, {self.connections} {plural}"


PEERS = ("direct", "nginx", "haproxy")
GETS = (
    *(Entry(peer, peer, "relayed-get") for peer in PEERS),
    Entry("relayed", "staleguard", "relayed-get"),
    Entry("guarded, XXH3", "staleguard", "guarded-get-xxh3"),
    Entry("guarded, SHA-1", "staleguard", "guarded-get-sha1"),
)
# What the access log adds, which is off in all the others.
LOGGED = (
    Entry("relayed, access log", "staleguard-logged", "relayed-get"),
    Entry("guarded, XXH3, access log", "staleguard-logged", "guarded-get-xxh3"),
)
PUTS = (
    *(Entry(peer, peer, "relayed-put") for peer in PEERS),
    Entry("relayed", "staleguard", "relayed-put"),
    Entry("guarded, recalled", "staleguard-exclusive", "warm-put"),
    Entry("guarded, recalled, SHA-1", "staleguard-exclusive", "warm-put-sha1"),
    Entry("guarded, asked before", "staleguard", "probed-put"),
    Entry("refused from memory", "staleguard-exclusive", "refused-put"),
)

# Reading and writing as a pair, for each size, under load and alone; first what most is said of.
SHAPES = (
    Shape("GET", 1024, 64, GETS + LOGGED),
    Shape("PUT", 1024, 64, PUTS),
    *(
        Shape(method, size, connections, entries)
        for connections in (64, 1)
        for size in SIZES
        for method, entries in (("GET", GETS), ("PUT", PUTS))
        if (size, connections) != (1024, 64)
    ),
)


def selected(only, quick):
    """The shapes that are asked for; nginx and HAProxy stay in each, since all others are measured by them."""
    shapes = SHAPES[:2] if quick else SHAPES
    if not only:
        return shapes
    found = []
    for shape in shapes:
        wanted = [entry for entry in shape.entries if entry.case in only and not entry.straight]
        if wanted:
            kept = tuple(entry for entry in shape.entries if entry.straight or entry in wanted)
            found.append(Shape(shape.method, shape.size, shape.connections, kept))
    return found


def case_of(entry):
    """What is asked of it."""
    return CASES[entry.case]
