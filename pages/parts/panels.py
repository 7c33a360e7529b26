"""Panels: what Train and Compare share while something trains: the buttons and the status."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from typing import NamedTuple

import streamlit as st

from dlcore.engine.job import Job, Moment
from dlcore.recipe import Recipe
from dlcore.runs.records import Record
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError
from pages.parts.pace import pace_slider
from pages.parts.state.tab import keep, remember

# Seconds between two looks at what trains, by how many it has trained: the longer, the less it moves from one to the
# next, and each look costs the browser as much as training takes for many steps.
TICKS = {0: 0.4, 20: 1.0, 60: 2.0}
AGAIN = 1.0  # seconds until the next look for an answer that is on its way, when nothing trains
IN_HAND = 0.2  # seconds that a click on Pause waits for the step in hand
WHOLE = (0.0, 1.0)  # of a bar: from its beginning to its end


def buttons(
    current: Callable[[], Sequence[Job]],
    start: Callable[..., Sequence[Job]],
    startable: bool,
    more: Callable[[], None] = lambda: None,
    planned: Callable[[Job], Recipe] = lambda job: job.first_recipe,
) -> None:
    """Start, Pause, Resume, Step, Stop and the pace, for one run or for all contestants of a race; `more` adds to the
    row, and `planned` is what tells how fast a watchable pace is.

    `current()` are the jobs now; `start(paused=...)` starts new ones. Both are asked anew for every click,
    since a double click comes twice and another tab may have been quicker. A single one may come twice, too: until the
    browser has sent it, a tick sends it along. So buttons belong to the jobs that they are drawn for, and act on those.
    """

    def active() -> list[Job]:
        return [job for job in current() if job.active]

    def each(act: Callable[[Job], None]) -> Callable[[], None]:
        return lambda: [act(job) for job in active() if job in going or job.race]  # what follows a try is its race

    def pause() -> None:
        each(Job.pause)()
        # What the page says of a paused run is to hold: a question is answered once the step in hand is done.
        wait([job.ask(lambda run: None) for job in active() if job.ready], IN_HAND)

    going = active()
    of = "/".join(str(job.number) for job in going)
    paused = bool(going) and all(job.status == "paused" for job in going)
    running = bool(going) and not paused
    with st.container(horizontal=True, vertical_alignment="bottom", key="buttons"):
        begin = st.button(
            "Start",
            type="primary",
            disabled=bool(going) or not startable,
            help="Train from fresh weights with the settings on the left.",
        )
        about = "Stop for a moment; nothing is lost."
        st.button("Pause", key=f"pause/{of}", on_click=pause, disabled=not running, help=about)
        about = "Go on where it was paused."
        st.button("Resume", key=f"resume/{of}", on_click=each(Job.resume), disabled=not paused, help=about)
        step = st.button("Step", disabled=not (going or startable), help="One single training step, then a pause.")
        about = "End here and keep what was learned."
        st.button("Stop", key=f"stop/{of}", on_click=each(Job.stop), disabled=not going, help=about)
        more()
        pace_slider(active, planned)
    # Not by callbacks: they come before the page has read a setting that was typed just before the click.
    with told():
        if begin and not active():
            start(paused=False)
        if step:
            for job in active() or start(paused=True):
                job.step()


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What cannot be done is told in place, as one sentence."""
    try:
        yield
    except (StoreError, SettingsError) as error:
        st.error(escape(str(error)), icon=":material/error:")


@contextlib.contextmanager
def on_its_own() -> Iterator[None]:
    """What fails in a part of a page is shown in its place, and told to the log; the rest of the page stays."""
    try:
        with told():
            yield
    except Exception as error:
        logging.getLogger(__name__).exception("A part of a page could not be drawn.")
        st.exception(error)


def tabs(views: Mapping[str, Callable[[], object]], key: str) -> bool:
    """Views by the names of their tabs, of which only the open one is made; whether it says that more is to come."""
    waits = False
    for tab, view in zip(st.tabs(list(views), on_change="rerun", key=key), views.values(), strict=True):
        if tab.open:
            with tab, on_its_own():
                waits |= bool(view())
    return waits


def status(jobs: Sequence[Record], span: tuple[float, float] = WHOLE) -> None:
    """The state in words, where it stands, and how long it takes; below, what a person should know of it. `span`: from
    where to where of the bar these jobs take it.
    """
    word, shown = state(jobs), slowest(jobs)
    parts = [f"**{word}**{f': {escape(shown.reason)}' if shown.reason else ''}"]
    if word == "queued":
        parts.append("its turn comes when others are done")
    if word == "interrupted" and all_done(shown):
        parts.append("all its epochs are done: Resume ends it")
    if word == "preparing" and isinstance(shown, Job | Moment) and shown.downloaded:
        parts.append(f"downloading {shown.recipe.data.title}: {shown.downloaded:.0%}")
    if shown.steps_per_epoch:
        parts.append(f"epoch {shown.epoch} of {shown.recipe.epochs}")
        parts.append(f"step {shown.history.steps} of {shown.total_steps}")
    parts.append(f"{clock(shown.elapsed)} elapsed")
    if shown.remaining is not None:
        parts.append(f"{clock(shown.remaining)} remaining")
    if len(jobs) == 1 and shown.history.steps:
        parts.append(f"{shown.steps_per_second:,.0f} steps/s")
    if len(jobs) == 1 and shown.history.best:
        parts.append(f"★ best epoch {shown.history.best.epoch}")
    if span != WHOLE:
        parts.append(f"{done(jobs, span):.0%} of tries and race")
    st.progress(done(jobs, span), text=" · ".join(parts))
    for job in jobs:
        for trouble in [job.trouble, *job.notices] if isinstance(job, Job | Moment) else []:
            if trouble:
                st.warning(escape(trouble), icon=":material/warning:")


def slowest(jobs: Sequence[Record]) -> Record:
    """Who has most to do; once all are over, who came furthest."""
    active = [job for job in jobs if job.active]
    return min(active, key=lambda job: job.progress) if active else max(jobs, key=lambda job: job.progress)


def done(jobs: Sequence[Record], span: tuple[float, float]) -> float:
    """How far jobs are that take a bar from one place to another."""
    start, end = span
    return start + (end - start) * min(1.0, slowest(jobs).progress)


def state(jobs: Sequence[Record]) -> str:
    """One word for one run or for a race: what is going on goes first, and a race is finished if anyone is."""
    words = {job.status for job in jobs}
    order = ("training", "preparing", "paused", "queued", "finished", "stopped", "interrupted", "failed")
    return next(word for word in order if word in words)


def all_done(run: Record) -> bool:
    """Whether nothing but its end is left of a run."""
    last = run.history.epochs[-1] if run.history.epochs else None
    return bool(last) and last.epoch >= run.recipe.epochs and last.step == run.history.steps


def title(run: Record) -> str:
    """A run's name, number and state, for Markdown."""
    return f"**{escape(run.name)}** · run {run.number} · {run.status}"


def failure(job: Record) -> None:
    """Why a job failed, in one sentence, with the traceback behind a fold."""
    st.error(escape(job.failure.text), icon=":material/error:")
    if job.failure.traceback:
        with st.expander("Traceback"):
            st.code(job.failure.traceback, language="python")


def escape(text: str) -> str:
    """Text from outside, so that Markdown shows it as it is.

    Streamlit makes icons of `:names:` and links of addresses even where they are escaped: there goes a joiner of words
    between the letters, which cannot be seen.
    """
    text = re.sub(r"(?<=:)(?=//|[\w/+-]+:)|(?<=@)(?=\S)|(?<=www)(?=\.)", "\u2060", text, flags=re.IGNORECASE)
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+-!|<>~$:&" else letter for letter in text)


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def seconds(elapsed: float) -> str:
    """`0.4 s`, `17 s`, `12:30`."""
    return f"{elapsed:.1f} s" if elapsed < 10 else f"{elapsed:.0f} s" if elapsed < 120 else clock(elapsed)


class State(NamedTuple):
    """What a page shows of runs beside what moves."""

    tick: float  # seconds until the next look; 0 when nothing is under way
    runs: list[tuple]


def state_of(runs: Sequence[Record]) -> State:
    elapsed = min((run.elapsed for run in runs if run.active), default=None)
    tick = 0.0 if elapsed is None else max(seconds for age, seconds in TICKS.items() if age <= elapsed)
    return State(tick, [(run.number, run.status, *_wishes(run)) for run in runs])


def follow(look: Callable[[], bool | float | None], runs: Callable[[], Sequence[Record]], shown: State) -> None:
    """Call `look`, and again at every tick while one of the runs is under way, or when it says that it waits for an
    answer (True), or in how many seconds it wants to look again.

    Only what moves belongs there: what ticks, the browser builds anew. A look acts on the runs that the page was drawn
    for: once the runs are in another state than `shown`, which was taken before the page drew its buttons, the whole
    page runs.
    """
    waiting = remember("waiting", 0.0)

    def looking() -> None:
        with told():
            wanted = look()
            waits = AGAIN if wanted is True else float(wanted or 0)
            keep("waiting", waits)
            if state_of(runs()) != shown or _tick(shown, waits) != _tick(shown, waiting):
                st.rerun()

    st.fragment(looking, run_every=_tick(shown, waiting) or None)()


def _tick(shown: State, waits: float) -> float:
    """Seconds until the next look; 0 when there is none. What trains ticks in any case, so answers come with that."""
    return waits if waits and (waits < AGAIN or not shown.tick) else shown.tick


def _wishes(run: Record) -> tuple:
    """What another tab may have changed of a run."""
    return (run.wanted, run.pace) if isinstance(run, Job) else ()
