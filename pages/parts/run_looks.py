"""How a run looks wherever it is drawn: its colour, its dashes, and what a legend calls it. Pure, as `charts`."""

from collections.abc import Sequence

from dlcore.runs.records import Record

# Okabe and Ito's palette, safe for colour-blind eyes; what vanishes in one of the themes is replaced: black by grey,
# yellow by a darker one, and the blue is a little lighter.
COLOURS = ("#2381C4", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#A8A000")
# What tells runs of the same colour apart.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px 2px 2px 2px", "2px 6px")
LONGEST_LABEL = 28  # letters of a run's name in the legend


def colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def dashes(runs: Sequence[Record]) -> list[str]:
    """How the lines of each are drawn, so that two runs of one colour are told apart."""
    inks = [colour(run.number) for run in runs]
    return [DASHES[inks[:place].count(ink) % len(DASHES)] for place, ink in enumerate(inks)]


def called(run: Record) -> str:
    """What a legend calls a run among others that may share its name."""
    return f"{short_name(run.name)} · run {run.number}"


def short_name(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1].rstrip()}…"
