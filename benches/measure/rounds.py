"""Rounds: one sample of each that takes part, and again while others are in the way."""

import sys
from dataclasses import dataclass

# A round in which others kept more than so many cores busy tells little.
CLEAN = 0.25
# How often a round is taken at most, until the machine is quiet.
ATTEMPTS = 5


@dataclass(frozen=True)
class Round:
    """One sample of each that takes part, taken one after the other; each says how `foreign` the machine was."""

    samples: dict

    @property
    def foreign(self):
        """How many cores others kept busy, at worst."""
        return max(sample.foreign for sample in self.samples.values())

    @property
    def is_clean(self):
        """Whether the machine was ours."""
        return self.foreign <= CLEAN


def rounds_of(asked, title, sample_each):
    """As many rounds as are asked for. One that others disturbed is taken again, and the quietest try counts."""
    taken = []
    for number in range(asked.rounds):
        tries = []
        while not tries or not (asked.anyway or tries[-1].is_clean or len(tries) == ATTEMPTS):
            tries.append(Round(sample_each()))
            note = "" if tries[-1].is_clean else f", others took {tries[-1].foreign:.2f} of a core"
            print(f"compare: {title}: round {number + 1} of {asked.rounds}{note}", file=sys.stderr)
        taken.append(min(tries, key=lambda one: one.foreign))
    return taken


def disturbed(rounds):
    """What a note says where rounds stayed disturbed."""
    unclean = sum(not one.is_clean for one in rounds)
    return f"; NOT CLEAN in {unclean} of {len(rounds)} rounds" if unclean else ""
