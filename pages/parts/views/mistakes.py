"""Mistakes: what a network takes for what, its worst errors, how sure it is, and each class over the epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from dlcore.catalogue.spec import Features, Picture
from dlcore.inside.errors import LookError
from dlcore.inside.mistakes import Mistakes, Residuals, between, mistakes, over_time, residuals, samples
from pages.parts.facts import table
from pages.parts.live_chart import live_chart
from pages.parts.panels import escape
from pages.parts.state.tab import set_widget, widget
from pages.parts.views.blame import blame
from pages.parts.views.hearing import hear_each_epoch, hear_frames
from pages.parts.views.mistake_charts import (
    calibration_figure,
    cells_figure,
    classes_figure,
    points_figure,
    residual_figure,
)
from pages.parts.views.samples import strip
from pages.parts.views.subject import Subject

if TYPE_CHECKING:
    from dlcore.engine.training import Run

SHOWN = 24  # samples at a time
MOST_POINTS = 1000
HEIGHT = 340
THE_WORST = "the worst of all"
HOW_CELLS = (
    "A row is what a sample is, a column what the network says: what is right lies on the diagonal. Click a cell to "
    "see its samples ([confusion matrix](https://en.wikipedia.org/wiki/Confusion_matrix))."
)
HOW_SURE = (
    "Where the bars end on the dotted line, the network is as often right as it is sure; below it, it is too sure. "
    "The paler a bar, the fewer samples ([Guo et al. 2017](https://arxiv.org/abs/1706.04599))."
)
HOW_RESIDUALS = (
    "A dot is a sample: how far above (or below) the prediction the right value lies. A pattern is something that the "
    "network has not learned ([residuals](https://en.wikipedia.org/wiki/Errors_and_residuals))."
)


class Seen(NamedTuple):
    """What a network was asked."""

    found: Mistakes | Residuals
    places: np.ndarray  # of the samples that are shown
    inputs: np.ndarray  # these, as `samples` gives them
    points: np.ndarray | None  # the first samples, where they have two features


def show(subject: Subject, key: str = "mistakes") -> bool:
    """Whether an answer is still on its way. `key`: of the container, where two stand side by side."""
    with st.container(key=key):
        try:
            return _shown(subject, key)
        except LookError as error:
            st.caption(escape(str(error)))
            return False


def _shown(subject: Subject, key: str) -> bool:
    classes = subject.run.recipe.task.classes
    cell = widget(f"{key}-cell") if classes else None
    if cell and max(cell) >= len(classes):  # it was chosen for another run
        set_widget(f"{key}-cell", None)
        cell = None
    heard = hear_each_epoch(subject, f"{key}/now", lambda run: _look(run, cell), about=cell)
    waits = bool(heard.coming)
    if heard.answer and isinstance(heard.answer.found, Residuals):
        _numbers(subject, heard.answer, key)
    elif heard.answer:
        _classes(subject, heard.answer, key)
        waits |= _blame(subject, heard.answer, key)
        waits = _over_epochs(subject, key) or waits
    if heard.sentence:
        st.caption(escape(heard.sentence))
    return waits


def versus(one: Subject, other: Subject, key: str = "mistakes-versus") -> bool:
    """What one run gets right and the other wrong, and the other way round. Whether an answer is still on its way."""
    with st.container(key=key):
        asked = {
            subject: hear_each_epoch(subject, f"{key}/{place}", lambda run: _look(run, None))
            for place, subject in (("one", one), ("other", other))
        }
        answers = [heard.answer for heard in asked.values()]
        for heard in asked.values():
            if heard.sentence:
                st.caption(escape(heard.sentence))
        if all(answers):
            try:
                _between(one, other, answers, key)
            except LookError as error:
                st.caption(escape(str(error)))
        return any(heard.coming for heard in asked.values())


def _look(run: Run, cell: tuple[int, int] | None) -> Seen:
    found = mistakes(run) if run.recipe.task.classes else residuals(run)
    places = (found.cell(*cell) if cell else found.worst(SHOWN))[:SHOWN]
    inputs, points = run.recipe.data.spec().inputs, None
    if isinstance(inputs, Features) and len(inputs.names) == 2 and isinstance(found, Mistakes):
        points = samples(run, range(min(len(found.targets), MOST_POINTS)))
    return Seen(found, places, samples(run, places), points)


def _classes(subject: Subject, seen: Seen, key: str) -> None:
    run, found = subject.run, seen.found
    wrong = int((found.targets != found.predicted).sum())
    of = f"{len(found.targets):,} validation samples"
    of = of if len(found.targets) == found.samples else f"the first {len(found.targets):,} of {found.samples:,} samples"
    st.markdown(f"**{wrong:,} of {of} are wrong.** Calibration error (ECE): {found.calibration.error:.1%}")
    left, right = st.columns(2)
    with left:

        def pick() -> None:
            points = (widget(f"{key}-confusion") or {}).get("selection", {}).get("points", [])
            if points and "customdata" in points[0]:
                row, column = points[0]["customdata"]
                set_widget(f"{key}-cell", (int(row), int(column)))

        figure = cells_figure(found.confusion, found.classes)
        st.plotly_chart(figure, key=f"{key}-confusion", on_select=pick, selection_mode="points")
        st.caption(HOW_CELLS)
    with right:
        live_chart(calibration_figure(run.number, found.calibration), key=f"{key}-calibration", height=HEIGHT)
        st.caption(HOW_SURE)
    cells = [(row, column) for row, column in np.argwhere(found.confusion).tolist()]
    cells.sort(key=lambda cell: (cell[0] == cell[1], -found.confusion[cell]))

    def told(cell: tuple[int, int] | None) -> str:
        if cell is None:
            return THE_WORST
        said = "taken for" if cell[0] != cell[1] else "known as"
        return escape(f"{found.classes[cell[0]]} {said} {found.classes[cell[1]]} · {found.confusion[cell]}")

    picked = widget(f"{key}-cell")
    st.selectbox(
        "Samples", [None, *dict.fromkeys([*([picked] if picked else []), *cells])], format_func=told, key=f"{key}-cell"
    )
    _samples(subject, seen)
    if seen.points is not None:
        part = Mistakes(**{**vars(found), **{n: vars(found)[n][:MOST_POINTS] for n in ("targets", "predicted")}})
        worst = [place for place in found.worst(SHOWN) if place < len(seen.points)]
        live_chart(points_figure(run.number, part, seen.points, worst), key=f"{key}-points", height=HEIGHT)
        st.caption("Crosses are what the network gets wrong, rings what it is most wrong about.")


def _blame(subject: Subject, seen: Seen, key: str) -> bool:
    """For one of the samples that are shown; whether an answer is still on its way."""
    if not len(seen.places):
        return False
    found = seen.found

    def named(place: int) -> str:
        right, says = found.classes[found.targets[place]], found.classes[found.predicted[place]]
        return escape(f"{place}: {right} taken for {says}" if right != says else f"{place}: {right}")

    options = [int(place) for place in seen.places]
    chosen = st.selectbox(
        "Blame for", options, format_func=named, key=f"{key}-blamed", help="One of the samples above."
    )
    return blame(subject, chosen, f"{key}-blame")


def _samples(subject: Subject, seen: Seen) -> None:
    """What the network says of the samples, and what is right."""
    found = seen.found
    if not len(seen.places):
        st.caption("Nothing is wrong here." if len(found.targets) else "There are no validation samples.")
        return
    said = [(found.classes[found.targets[at]], found.classes[found.predicted[at]]) for at in seen.places]
    if isinstance(subject.run.recipe.data.spec().inputs, Picture):
        lines = [
            (f"is {right}", f"says {says}", f"{found.probability[at]:.0%} sure")
            for at, (right, says) in zip(seen.places, said, strict=True)
        ]
        st.html(strip(seen.inputs, lines))
        st.caption("Largest loss first: what each is, what the network says, and how sure of it the network is.")
        return
    names = subject.run.recipe.data.spec().inputs.names
    rows = [
        (str(at), *(f"{value:.4g}" for value in values), *both, f"{found.probability[at]:.0%}", f"{found.loss[at]:.3g}")
        for at, values, both in zip(seen.places, seen.inputs, said, strict=True)
    ]
    st.html(table(("sample", *names, "it is", "it says", "sure", "loss"), rows))


def _numbers(subject: Subject, seen: Seen, key: str) -> None:
    run, found = subject.run, seen.found
    names = run.recipe.task.names
    st.caption(
        "Numbers are near or far, and not right or wrong: here are the largest errors on the validation samples."
    )
    live_chart(residual_figure(run.number, found, names[0]), key=f"{key}-residuals", height=HEIGHT)
    st.caption(HOW_RESIDUALS)
    rows = [
        (str(at), *(f"{value:.4g}" for value in (*values, *found.targets[at], *found.predicted[at], found.loss[at])))
        for at, values in zip(seen.places, seen.inputs, strict=True)
    ]
    head = (
        *run.recipe.data.spec().inputs.names,
        *(f"{name}, right" for name in names),
        *(f"{name}, says" for name in names),
    )
    st.html(table(("sample", *head, "loss"), rows))


def _over_epochs(subject: Subject, key: str) -> bool:
    """Each class over the frames."""
    if not subject.film:
        return False
    there, coming, sentence = hear_frames(subject, f"{key}/film", over_time)
    if there:
        figure = classes_figure(subject.run.number, there, subject.run.recipe.task.classes)
        live_chart(figure, key=f"{key}-classes", height=HEIGHT)
        st.caption("A line is a class: which are learned first, and which are forgotten again.")
    if sentence:
        st.caption(escape(sentence))
    return coming


def _between(one: Subject, other: Subject, answers: list[Seen], key: str) -> None:
    for seen in answers:
        if isinstance(seen.found, Residuals):
            raise LookError("Numbers are near or far, and not right or wrong: two such runs differ by their errors.")
    mine, theirs = between(*(seen.found for seen in answers))
    for subject, places, wrong in zip((one, other), (mine, theirs), (answers[1].found, answers[0].found), strict=True):
        st.markdown(f"**{len(places):,}** samples that only run {subject.run.number} gets right")
        shown = places[:SHOWN]
        told = [(f"is {wrong.classes[wrong.targets[at]]}", f"not {wrong.classes[wrong.predicted[at]]}") for at in shown]
        ask = lambda run, shown=shown: samples(run, shown)  # noqa: E731
        heard = hear_each_epoch(subject, f"{key}/only/{subject.run.number}", ask, about=tuple(shown.tolist()))
        # Until the pictures of these very samples are there, the list tells of them.
        there = heard.answer is not None and len(heard.answer) == len(shown) and not heard.coming
        if told and there and isinstance(subject.run.recipe.data.spec().inputs, Picture):
            st.html(strip(heard.answer, told))
        elif told:
            rows = [(str(at), *words) for at, words in zip(shown, told, strict=True)]
            st.html(table(("sample", "what it is", "what the other says"), rows))
