"""Answers: one question to several networks, which train here, are over, or lie in the store."""

import html
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import numpy as np
import streamlit as st
from torch import Tensor

from dlcore.engine.job import Job
from dlcore.engine.predicting import predict
from dlcore.engine.training import Run
from dlcore.runs.checkpoints import Checkpoint
from dlcore.runs.records import Record
from dlcore.runs.store import StoreError
from pages.parts import panels
from pages.parts.asking import Question, hear
from pages.parts.choosing import known
from pages.parts.run_looks import colour
from pages.parts.state.process import lately, weights_lately
from pages.parts.state.tab import keep, remember

PEN_RESTS = 1.0  # seconds after a movement of the pen
NO_BEST = "It has ended no epoch yet, so none is the best."


class Answer(NamedTuple):
    """What a run says, and by which of its weights."""

    run: Record
    shares: Sequence[float]  # a class
    weights: str  # "best" or "last"
    epoch: int  # that these weights have reached
    notes: tuple[str, ...] = ()


class Pen(NamedTuple):
    """A question to the networks that were chosen, and since when it is the one that is asked."""

    question: dict
    since: float


def show_answers(chosen: dict[int, str], raw: Tensor, best: bool) -> bool:
    """A card for each run, given by its number and what it is called; whether an answer is still to come.

    While the pen moves, a tick does not ask again: the next movement would have to wait for it.
    """
    runs, now, pen = {run.number: run for run in known(chosen)}, time.monotonic(), remember("answers/pen", None)
    asked = {number: (number in runs and runs[number].status, best, raw.tolist()) for number in chosen}
    if not pen or pen.question != asked:
        pen = Pen(asked, now)
        keep("answers/pen", pen)
    again = now - pen.since > PEN_RESTS and any(run.active for run in runs.values())
    questions = {number: Question(about, partial(ask, number, raw, best)) for number, about in asked.items()}
    heard = hear("answers", questions, again)
    for place, (number, called) in enumerate(chosen.items()):
        if place % 2 == 0:  # a row for two, so that their bars stand side by side whatever is above
            columns = st.columns(min(len(chosen), 2))
        with columns[place % 2]:
            one = heard[number]
            if one.answer:
                card(one.answer)
            else:
                st.caption(f"**{panels.escape(called)}**")
            if one.sentence:
                st.caption(panels.escape(one.sentence))
    return any(one.coming for one in heard.values())


def ask(number: int, raw: Tensor, best: bool) -> Future:
    """The Answer to come, or a StoreError. A network that does not train is asked at once, in this thread."""
    future: Future = Future()
    try:
        run = lately(number)
        if not (isinstance(run, Job) and run.ready and run.status != "failed"):
            future.set_result(_stored(run, raw, best))
        elif best and run.best:
            return _of_job(run, raw, run.best)
        elif best and run.history.best:  # from before this process went on with the run
            future.set_result(_stored(run, raw, best))
        else:
            return _of_job(run, raw, None, notes=(NO_BEST,) if best else ())
    except StoreError as error:
        future.set_exception(error)
    return future


def _of_job(run: Job, raw: Tensor, kept: Checkpoint | None, notes: tuple[str, ...] = ()) -> Future:
    def answer(network: Run) -> Answer:
        if kept:
            return Answer(run, predict(network, raw, kept.model)[0].tolist(), "best", kept.epochs)
        return Answer(run, predict(network, raw)[0].tolist(), "last", run.epoch, notes)

    return run.ask(answer)


def _stored(run: Record, raw: Tensor, best: bool) -> Answer:
    found = weights_lately(run, best)
    word = "best" if best and run.history.best else "last"
    notes = (*found.passed, NO_BEST) if best and word == "last" else found.passed
    return Answer(run, predict(found.network, raw)[0].tolist(), word, found.epoch + bool(found.place), notes)


def card(answer: Answer) -> None:
    """Who answers, the top class, and all of them as bars."""
    run, shares = answer.run, answer.shares
    classes, top, ink = run.recipe.task.classes, int(np.argmax(shares)), colour(run.number)
    bars = "".join(
        f'<div class="bar{" top" if place == top else ""}"><span>{html.escape(name)}</span>'
        f'<div><i style="width:{share:.1%};background:{ink}"></i></div><b>{share:.1%}</b></div>'
        for place, (name, share) in enumerate(zip(classes, shares, strict=True))
    )
    st.caption(f"{panels.title(run)}  \n{which(answer)}")
    first = f'<p class="class">{html.escape(classes[top])} <small>{shares[top]:.1%}</small></p>'
    st.html(f'<div class="answer">{first}{bars}</div>')
    for note in answer.notes:
        st.caption(panels.escape(note))


def which(answer: Answer) -> str:
    """`best, epoch 9 · 97.5% on validation`: as the last whole epoch of these weights was."""
    run = answer.run
    of = f" of {run.recipe.epochs}" if run.active and answer.weights == "last" else ""
    done = min(answer.epoch, len(run.history.epochs))  # an epoch under way is not measured yet
    told = f" · {run.history.epochs[done - 1].val_accuracy:.1%} on validation" if done else ""
    return f"{answer.weights}, epoch {answer.epoch}{of}{told}"
