"""Hearing: what takes a network as long as several steps, and so is asked of one that trains but once an epoch."""

from collections.abc import Callable, Hashable
from typing import Any

from pages.parts.asking import Heard
from pages.parts.state.tab import keep, remember
from pages.parts.views.subject import Subject


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
