"""Blame: the training samples that pulled a network to a mistake, and those that pulled it away; below that mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from dlcore.catalogue.spec import Picture
from dlcore.inside.blame import Blame, chosen
from dlcore.inside.blame import blame as influences
from dlcore.inside.errors import LookError
from dlcore.inside.mistakes import samples
from pages.parts.facts import table
from pages.parts.panels import escape
from pages.parts.state.tab import keep, remember
from pages.parts.views.samples import strip
from pages.parts.views.subject import Subject

if TYPE_CHECKING:
    from dlcore.engine.training import Run
    from dlcore.history import History
    from dlcore.runs.film import Film

HOW = (
    "By how much steps on a training sample lowered (+) or raised (−) the loss of the right answer here, over the kept "
    "frames and by the last layer alone: an estimate that takes every step for plain gradient descent "
    "([Pruthi et al. 2020](https://arxiv.org/abs/2002.08484)). What is wrongly labelled often stands in the first row."
)


class Seen(NamedTuple):
    """Training samples either way, with what they look like and are."""

    found: Blame
    inputs: tuple[np.ndarray, np.ndarray]  # of opponents and of proponents
    targets: tuple[np.ndarray, np.ndarray]


def blame(subject: Subject, index: int, key: str = "blame") -> bool:
    """For the validation sample at `index`; whether an answer is still on its way. Asked when a person wants it."""
    with st.container(key=key):
        wanted = (subject.run.number, subject.epoch, index)
        if remember(f"{key}/wanted", None) != wanted:
            ask = lambda: keep(f"{key}/wanted", wanted)  # noqa: E731
            about = "Which training samples pulled the network to this answer; takes some seconds."
            st.button("What pulled it there?", on_click=ask, icon=":material/search:", help=about, key=f"{key}-ask")
            return False
        try:
            film = subject.film
            epochs = chosen([epoch for epoch in film.epochs if subject.epoch is None or epoch <= subject.epoch])
        except LookError as error:
            st.caption(escape(str(error)))
            return False
        history = subject.run.history.frozen()
        # Of a frame's own network, which does not train: so many passes would hold up the one that does.
        asked, about = subject._replace(epoch=epochs[-1]), (index, len(film.epochs) if not subject.run.active else 0)
        before, heard = remember(f"{key}/heard", (None, None))
        if before != wanted:  # of a run under way it is of the moment at which a person asked for it
            heard = asked.hear(key, lambda run: _look(run, film, epochs, history, index), about, gradients=True)
            if heard.answer and heard.answer.found.index == index and not heard.coming:
                keep(f"{key}/heard", (wanted, heard))
        if heard.answer and heard.answer.found.index == index:
            _draw(subject, heard.answer)
        if heard.sentence:
            st.caption(escape(heard.sentence))
        return bool(heard.coming)


def _look(run: Run, film: Film, epochs: Sequence[int], history: History, index: int) -> Seen:
    found = influences(run, [film.at(epoch) for epoch in epochs], history, index)
    both, train = (found.opponents, found.proponents), run.data.train
    return Seen(
        found,
        tuple(samples(run, places, train) for places in both),
        tuple(train.targets.cpu().numpy()[places] for places in both),
    )


def _draw(subject: Subject, seen: Seen) -> None:
    found, recipe = seen.found, subject.run.recipe
    titles = ("Pulled it to this mistake", "Pulled it to the right answer")
    for title, places, inputs, targets in zip(
        titles, (found.opponents, found.proponents), seen.inputs, seen.targets, strict=True
    ):
        st.markdown(f"**{title}**")
        if not len(places):
            st.caption("None of the training samples.")
            continue
        words = [recipe.task.classes[int(one)] if recipe.task.classes else f"{one.flat[0]:.4g}" for one in targets]
        told = [f"{found.influence[place]:+.2g}".replace("-", "−") for place in places]
        if isinstance(recipe.inputs, Picture):
            lines = [
                (f"labelled {word}", size, f"sample {at}") for word, size, at in zip(words, told, places, strict=True)
            ]
            st.html(strip(inputs, lines))
        else:
            names = getattr(recipe.inputs, "names", ()) if inputs.ndim == 2 else ()
            values = [[f"{value:.4g}" for value in row] if names else [] for row in inputs]
            rows = [
                (str(at), *row, word, size) for at, row, word, size in zip(places, values, words, told, strict=True)
            ]
            st.html(table(("sample", *names, "label", "influence"), rows))
    st.caption(f"{HOW} Of the first {len(found.influence):,} training samples, over {found.frames} frames.")
