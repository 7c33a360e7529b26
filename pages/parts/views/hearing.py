"""Hearing: what takes a network as long as several steps, and so is asked of one that trains but once an epoch, or of
the frames of its film.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from dlcore.inside.frames import evenly
from dlcore.runs.film import Frame
from pages.parts.asking import Heard
from pages.parts.state.tab import keep, remember
from pages.parts.views.subject import Subject

AT_ONCE = 8  # frames that are asked together, so that the picture grows while one waits


def hear_each_epoch(
    subject: Subject, place: str, function: Callable[[Any], Any], about: Hashable = (), gradients: bool = False
) -> Heard:
    """As `Subject.hear`; while a run trains, the answer stays until its next epoch ends."""
    run = subject.run
    at = (run.number, len(run.history.epochs), subject.epoch, about)
    before, heard = remember(f"each-epoch/{place}", (None, None))
    if before == at and run.status == "training":
        return heard
    heard = subject.hear(place, function, about, gradients)
    if heard.answer is not None and not heard.sentence and not heard.coming:
        keep(f"each-epoch/{place}", (at, heard))
    return heard


class Frames(NamedTuple):
    """What is known of some of a film's frames, first to last."""

    there: list[Any]  # each with its `epoch`
    coming: bool  # whether others are on their way
    sentence: str  # why there is no more, if so


def hear_frames(
    subject: Subject,
    place: str,
    function: Callable[[Any, Iterable[Frame]], Sequence[Any]],
    gradients: bool = False,
) -> Frames:
    """What `function(run, frames)` tells of frames that lie evenly over a subject's film. What is known of one stays
    known: frames never change.
    """
    film, place = subject.film, f"{place}/{subject.run.number}"
    known, chosen = remember(place, {}), evenly(film.epochs)
    missing = [epoch for epoch in chosen if epoch not in known][:AT_ONCE]
    coming, sentence = False, ""
    if missing:
        # Of a frame's own network, which does not train: so many passes would hold up the one that does.
        ask = lambda run: function(run, map(film.at, missing))  # noqa: E731
        heard = subject._replace(epoch=missing[-1]).hear(place, ask, tuple(missing), gradients)
        known = known | {one.epoch: one for one in heard.answer or []}
        keep(place, known)
        coming, sentence = any(epoch not in known for epoch in chosen), heard.sentence
    return Frames([known[epoch] for epoch in chosen if epoch in known], coming, sentence)
