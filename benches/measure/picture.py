"""The picture in README: what a request costs each, as bars. It can be read on light and on dark pages."""

from html import escape

# Which bars are drawn, by shape: the label of a row, and what the picture calls it.
PANELS = (
    (
        "GET-1024-64",
        "Reading 1 KiB",
        (
            ("nginx", "nginx, relaying", "peer"),
            ("haproxy", "HAProxy, relaying", "peer"),
            ("relayed", "Staleguard, relaying", "ours"),
            ("guarded, XXH3", "Staleguard, guarding (XXH3)", "ours"),
            ("guarded, SHA-1", "Staleguard, guarding (SHA-1)", "ours"),
        ),
    ),
    (
        "PUT-1024-64",
        "Writing 1 KiB",
        (
            ("nginx", "nginx, relaying", "peer"),
            ("haproxy", "HAProxy, relaying", "peer"),
            ("relayed", "Staleguard, relaying", "ours"),
            ("guarded, recalled", "Staleguard, guarding, recalled", "ours"),
            ("guarded, asked before", "Staleguard, guarding, asked before", "ours"),
            ("refused from memory", "Staleguard, refusing from memory", "ours"),
        ),
    ),
)

WIDTH, LEFT, RIGHT, BAR, GAP = 760, 270, 130, 18, 8

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .head { font-weight: 600; font-size: 15px; }
    .small { font-size: 12px; fill: #59636e; }
    .peer { fill: #8c959f; } .ours { fill: #0969da; }
    .user { fill-opacity: 0.55; }
    .spread { stroke: #1f2328; stroke-width: 1; fill: none; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; } .small { fill: #9198a1; }
      .peer { fill: #656c76; } .ours { fill: #4493f8; }
      .spread { stroke: #f0f6fc; }
    }
"""


def draw(found):
    """The SVG of what was found, as far as it was measured."""
    panels = [(panel, found["shapes"][panel[0]]["rows"]) for panel in PANELS if panel[0] in found["shapes"]]
    longest = max(
        (rows[label]["cpu_us"]["most"] for (_, _, bars), rows in panels for label, _, _ in bars if label in rows),
        default=1.0,
    )
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts, y = [], 24
    for (_, title, bars), rows in panels:
        parts.append(f'<text class="head" x="8" y="{y}">{escape(title)}: CPU for each request, in microseconds</text>')
        y += 14
        for label, name, kind in bars:
            if label in rows:
                parts += bar(rows[label], name, kind, y, scale)
                y += BAR + GAP
        y += 30
    machine = found["machine"]
    note = "64 connections, one core; left part: in the kernel; line: all rounds. "
    versions = f"{machine['nginx']}, {machine['haproxy']}, {machine['when']}"
    parts.append(f'<text class="small" x="8" y="{y - 8}">{escape(note + versions)}</text>')
    body = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="CPU time for each request of nginx, HAProxy and Staleguard">\n'
        f"  <style>{STYLE}  </style>\n  {body}\n</svg>\n"
    )


def bar(row, name, kind, y, scale):
    """One bar: what was spent in the kernel, and behind it what was spent outside."""
    cpu, user = row["cpu_us"], row["user_us"]["median"]
    system = (cpu["median"] - user) * scale
    middle, text = y + BAR / 2, y + BAR - 5
    yield f'<text x="{LEFT - 8}" y="{text}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{system:.1f}" height="{BAR}"/>'
    yield f'<rect class="{kind} user" x="{LEFT + system:.1f}" y="{y}" width="{user * scale:.1f}" height="{BAR}"/>'
    least, most = LEFT + cpu["least"] * scale, LEFT + cpu["most"] * scale
    yield f'<path class="spread" d="M{least:.1f} {middle}H{most:.1f}"/>'
    ratio = f", {row['cpu_to_nginx']['median']:.2f} × nginx" if "cpu_to_nginx" in row and kind == "ours" else ""
    end = max(most, LEFT + cpu["median"] * scale) + 6
    yield f'<text x="{end:.1f}" y="{text}">{cpu["median"]:.1f}{ratio}</text>'
