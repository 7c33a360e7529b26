"""Answers: one question to several networks, which train here, are over, or lie in the store."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import streamlit as st
from torch import Tensor

from dlcore.checkpoints import Checkpoint
from dlcore.jobs import Job
from dlcore.records import Record
from dlcore.store import StoreError
from dlcore.training import Run, predict
from pages.parts import panels
from pages.parts.charts import colour
from pages.parts.choosing import known
from pages.parts.session import keep, lately, remember, weights_lately

PEN_RESTS = 1.0  # seconds after a movement of the pen
NO_BEST = "It has ended no epoch yet, so none is the best."


class Answer(NamedTuple):
    """What a run says, and by which of its weights."""

    run: Record
    shares: Sequence[float]  # a class
    weights: str  # "best" or "last"
    epoch: int  # that these weights have reached
    notes: tuple[str, ...] = ()


class Asked(NamedTuple):
    """A question, since when it is the one that is asked, and the last answers to it, in the order of the runs."""

    question: tuple
    since: float
    answers: list[Future]


def show_answers(chosen: dict[int, str], raw: Tensor, best: bool) -> None:
    """A card for each run, given by its number and what it is called.

    The questions go out together, so that they wait but once. While the pen moves, a tick does not ask again: the next
    movement would have to wait for it.
    """
    runs, now, asked = known(chosen), time.monotonic(), remember("answers/asked", None)
    question = ([(run.number, run.status) for run in runs], best, raw.tolist())
    since = asked.since if asked and asked.question == question else now
    if since == now or now - since > PEN_RESTS or not any(run.active for run in runs):
        asked = Asked(question, since, [ask(number, raw, best) for number in chosen])
        keep("answers/asked", asked)
    for place, (called, answer) in enumerate(zip(chosen.values(), asked.answers, strict=True)):
        if place % 2 == 0:  # a row for two, so that their bars stand side by side whatever is above
            columns = st.columns(min(len(chosen), 2))
        with columns[place % 2]:
            try:
                card(answer.result(panels.PATIENCE))
            except TimeoutError:
                st.caption(f"**{panels.escape(called)}**  \nBusy with a long step; the answer comes later.")
            except StoreError as error:
                st.caption(f"**{panels.escape(called)}**  \n{panels.escape(str(error))}")


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
    classes, top, ink = run.recipe.data.classes, int(np.argmax(shares)), colour(run.number)
    bars = "".join(
        f'<div class="bar{" top" if place == top else ""}"><span>{name}</span>'
        f'<div><i style="width:{share:.1%};background:{ink}"></i></div><b>{share:.1%}</b></div>'
        for place, (name, share) in enumerate(zip(classes, shares, strict=True))
    )
    st.caption(f"{panels.title(run)}  \n{which(answer)}")
    st.html(f'<div class="answer"><p class="class">{classes[top]} <small>{shares[top]:.1%}</small></p>{bars}</div>')
    for note in answer.notes:
        st.caption(panels.escape(note))


def which(answer: Answer) -> str:
    """`best, epoch 9 · 97.5% on validation`: as the last whole epoch of these weights was."""
    run = answer.run
    of = f" of {run.recipe.epochs}" if run.active and answer.weights == "last" else ""
    done = min(answer.epoch, len(run.history.epochs))  # an epoch under way is not measured yet
    told = f" · {run.history.epochs[done - 1].val_accuracy:.1%} on validation" if done else ""
    return f"{answer.weights}, epoch {answer.epoch}{of}{told}"
