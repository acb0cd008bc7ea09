"""How long it takes."""

# What a sample takes beside its seconds, one of large documents, and the start of all that takes part in a shape.
SAMPLE = 0.2
LARGE = 0.8
SHAPE = 0.5
# What is measured beside the shapes: samples in a round, and seconds for what is not in rounds.
BESIDE = 14
REST = 80.0


def length(shapes, asked):
    """Seconds for these shapes and all that comes behind them, with every round taken once."""
    total = 0.0 if asked.only else asked.rounds * BESIDE * (asked.seconds + SAMPLE) + REST * (0.2 if asked.quick else 1)
    for shape in shapes:
        each = asked.seconds + (LARGE if shape.size > 2**17 else SAMPLE)
        total += SHAPE + asked.rounds * len(shape.entries) * each
    return total


def minutes(seconds):
    """A duration in words."""
    return f"about {max(1, round(seconds / 60))} min"
