"""What was to be reached, beside what was found."""

from dataclasses import dataclass
from operator import ge, le

KIB, MIB = 1024, 2**20
GET, PUT = "GET-1024-64", "PUT-1024-64"


@dataclass(frozen=True)
class Target:
    """A bound on one figure of a shape's row, or of what was measured beside the shapes."""

    title: str
    # The shape, the label of the row, and the key of the figure; or the row's title alone.
    place: tuple
    bound: float
    unit: str = "×"
    # How much of the figure is one of the unit.
    scale: float = 1
    is_reached: object = le

    def found(self, everything):
        """The figure, if it was measured."""
        if len(self.place) == 1:
            rows = {row["title"]: row["value"] for row in everything.get("footprint", ())}
            return rows.get(self.place[0])
        shape, label, key = self.place
        return everything["shapes"].get(shape, {}).get("rows", {}).get(label, {}).get(key, {}).get("median")

    def row(self, everything):
        """The line of the table; none where the figure was not measured."""
        found = self.found(everything)
        if found is None:
            return None
        sign = "≤" if self.is_reached is le else "≥"
        word = "" if self.is_reached(found / self.scale, self.bound) else "not reached"
        return [self.title, f"{found / self.scale:.2f} {self.unit}", f"{sign} {self.bound:g} {self.unit}", word]


RECALLED = "guarded, recalled"
TARGETS = (
    Target("GET relayed: CPU × nginx", (GET, "relayed", "cpu_to_nginx"), 0.97),
    Target("GET relayed: CPU × HAProxy", (GET, "relayed", "cpu_to_haproxy"), 1.0),
    Target("GET guarded, XXH3: CPU × nginx, relaying", (GET, "guarded, XXH3", "cpu_to_nginx"), 1.0),
    Target("GET guarded, SHA-1: CPU × nginx, relaying", (GET, "guarded, SHA-1", "cpu_to_nginx"), 1.05),
    Target("PUT guarded, recalled: CPU × nginx, relaying", (PUT, RECALLED, "cpu_to_nginx"), 1.0),
    Target("PUT guarded, recalled: CPU × HAProxy, relaying", (PUT, RECALLED, "cpu_to_haproxy"), 1.1),
    Target("PUT guarded, asked before: CPU × that", (PUT, "guarded, asked before", "cpu_to_recalled"), 2.0),
    Target("PUT refused: CPU × nginx, relaying", (PUT, "refused from memory", "cpu_to_nginx"), 0.5),
    Target("PUT refused: requests upstream", (PUT, "refused from memory", "calls"), 0, "each"),
    Target("GET guarded, 16 KiB: CPU × nginx", ("GET-16384-64", "guarded, XXH3", "cpu_to_nginx"), 1.0),
    Target("GET guarded, 1 MiB: CPU × nginx", ("GET-1048576-64", "guarded, XXH3", "cpu_to_nginx"), 1.5),
    Target("GET relayed, 1 MiB: CPU × nginx", ("GET-1048576-64", "relayed", "cpu_to_nginx"), 0.95),
    Target("two cores beside one", ("two cores beside one",), 1.8, is_reached=ge),
    Target("idle memory", ("idle memory: staleguard",), 8, "MiB", MIB),
    Target("idle connection", ("idle connection: staleguard",), 14, "KiB", KIB),
    Target("binary", ("binary",), 10, "MiB", MIB),
    Target("first answer after the start", ("first answer after the start",), 20, "ms"),
    Target("each remembered document", ("each remembered document",), 160, "bytes"),
    # Nothing. Pages that the allocator happens to touch are none of the hold's, and not even a pointer for each scope.
    Target("each released hold", ("each released hold",), 8, "bytes"),
    Target("64 writers on 64 documents: CPU × uncontended", ("64 writers on 64 documents",), 1.1),
    Target("64 writers on one: fewest ÷ most", ("64 writers on one document",), 0.9, is_reached=ge),
)


def rows(everything):
    """The table, as far as it was measured; empty where nothing was."""
    lines = [line for line in (target.row(everything) for target in TARGETS) if line]
    return [["", "found", "to reach", ""], *lines] if lines else []
