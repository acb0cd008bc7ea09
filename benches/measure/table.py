"""Tables, for terminals and for Markdown."""


def text(rows):
    """Columns that are as wide as what is in them; the first and the last to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            is_number = cell[:1].isdigit() or cell[:1] in "–<-≤["
            cells.append(cell.rjust(width) if is_number and column else cell.ljust(width))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows):
    """A table of Markdown; all but the first column to the right."""
    head, *rest = rows
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rest]
    return "\n".join(lines)
