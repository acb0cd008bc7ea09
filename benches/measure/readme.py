"""The figures in README, between two marks, and all of them beside the results."""

from . import table, targets
from .results import ratio_rows, spread
from .rounds import CLEAN

BEGIN = "<!-- made by benches/compare --write-readme -->"
END = "<!-- until here -->"
NAMES = {"direct": "no proxy: the upstream itself", "nginx": "nginx, relaying", "haproxy": "HAProxy, relaying"}
HOW = """\
CPU is what the kernel has counted for the processes of a proxy, user and system apart, by request. A ratio is taken
within a round, of samples that were taken one after the other; what is shown is the median of the rounds' ratios with
the least and the most, which is not the ratio of the medians. Each row has processes of its own, and MiB is their
proportional share (PSS) under that load. CPU ratios tell differences of a tenth; requests/s and p50 also tell how busy
the one core of the load and the upstream is. Staleguard is the program that `benches/ship` builds.

None of these figures is gated, since other work on the machine blurs them. What CI holds is in `benches/gates.toml`:
system calls, instructions and context switches by request, counted by `benches/gates`."""
# What README shows; the rest is in the report.
SHOWN = ("GET-1024-64", "PUT-1024-64")


def write(path, found):
    """Puts the figures where the marks are."""
    path.write_text(between(path.read_text(), section(found)))


def between(text, section):
    """A text with this between the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README has no {BEGIN} with {END} behind it")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def section(found):
    """What README shows."""
    parts = [conditions(found)]
    for name in SHOWN:
        if name in found["shapes"]:
            shape = found["shapes"][name]
            rows = {label: row for label, row in shape["rows"].items() if label != "direct"}
            parts.append(table.markdown(list(lines(shape["title"], rows))))
    return "\n\n".join(parts)


def report(found):
    """Everything, as Markdown."""
    parts = ["# What benches/compare has found", conditions(found), HOW]
    if reached := targets.rows(found):
        parts.append(table.markdown(reached))
    for shape in found["shapes"].values():
        rows = shape["rows"]
        parts.append(table.markdown(list(lines(shape["title"], rows))))
        head, *rest = ratio_rows(rows)
        parts.append(table.markdown([[shape["title"], *head[1:]], *([name(label), *row] for label, *row in rest)]))
    for part, head in (("footprint", "beside that"), ("witnesses", "CPU for each request, by wrk and h2load")):
        if part in found:
            rows = [[head, "", ""], *([row["title"], row["text"], row["note"]] for row in found[part])]
            parts.append(table.markdown(rows))
    return "\n\n".join(parts) + "\n"


def conditions(found):
    """What it was measured on, and how well."""
    of = found["machine"]
    sha = "" if of["sha_ni"] else " without SHA extensions"
    return (
        f"{of['when']}, {of['cores']} cores of {of['processor']}{sha}, {of['nginx']}, {of['haproxy']}; "
        f"{found['rounds']} rounds of {found['seconds']:g} s, median [least–most].{disturbed(found)}"
    )


def disturbed(found):
    """What is said where other work was in the way."""
    rounds = [one for shape in found["shapes"].values() for one in shape["rounds"]]
    unclean = sum(not one["clean"] for one in rounds)
    if not unclean:
        return ""
    return f" In {unclean} of {len(rounds)} rounds other work took more than {CLEAN} of a core: do not trust them."


def name(label):
    """What a table calls one that takes part."""
    return NAMES.get(label, f"Staleguard, {label}")


def lines(title, rows):
    """The table of one shape, with the columns that say most."""
    yield [title, "CPU µs", "user", "system", "× nginx", "× HAProxy", "requests/s", "p50 µs", "p50 × nginx", "MiB"]
    for label, row in rows.items():
        yield [
            name(label),
            f"{row['cpu_us']['median']:.1f}",
            f"{row['user_us']['median']:.1f}",
            f"{row['system_us']['median']:.1f}",
            spread(row, "cpu_to_nginx"),
            spread(row, "cpu_to_haproxy"),
            f"{row['rps']['median']:,.0f}",
            f"{row['p50_us']['median']:.0f}",
            f"{row['p50_to_nginx']['median']:.2f}" if "p50_to_nginx" in row else "–",
            f"{row['memory']['median'] / 2**20:.1f}",
        ]
