"""Inside: what a network is like, now or after any of its epochs, for any run; two of them side by side."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from dlcore.engine.job import Job
from dlcore.runs.records import Record
from pages.parts import panels
from pages.parts.choosing import choose_runs, kept_rows, known, offered
from pages.parts.film import choose_frame
from pages.parts.frame import await_engine, ensure_frame
from pages.parts.state.address import asked_moment, show_moment
from pages.parts.state.process import engine_is_here
from pages.parts.state.tab import keep, shown_run
from pages.parts.views import landscape, mistakes, surfaces
from pages.parts.views.listing import VIEWS
from pages.parts.views.network import show as show_network
from pages.parts.views.subject import Subject

MOST, HEIGHT = 2, 440


def live(chosen: dict[int, str], first: int | None) -> bool | float:
    """All that moves; whether something of it is still to come, or in how many seconds the next frame is due."""
    runs = known(chosen)
    if not runs:
        return False
    frame = choose_frame(runs[0], "inside", first)
    if not frame.again:
        show_moment([run.id for run in runs], frame.epoch)
    subjects = [Subject(run.now() if isinstance(run, Job) else run, frame.epoch) for run in runs]
    waits = beside(subjects, network, "network-view")
    views = {name: partial(beside, subjects, show, key) for name, show, key in VIEWS}
    views["Landscape"] = partial(landscape.show, subjects[0])
    views["Mistakes"] = partial(all_mistakes, subjects)
    views["Classic surfaces"] = surfaces.show
    waits |= panels.tabs(views, "views")
    return frame.again or waits


def beside(subjects: Sequence[Subject], show: Callable[[Subject, str], bool], key: str) -> bool:
    """A view of each, side by side; whether an answer is still on its way."""
    waits = False
    for place, (subject, column) in enumerate(zip(subjects, st.columns(len(subjects), gap="large"), strict=True)):
        with column, panels.on_its_own():
            waits |= bool(show(subject, f"{key}-{place + 1}" if place else key))
    return waits


def network(subject: Subject, key: str) -> bool:
    when = "" if subject.epoch is None else f" · after epoch {subject.epoch}"
    st.markdown(f"{panels.title(subject.run)}{when}")
    return show_network(subject, HEIGHT, key=key)


def all_mistakes(subjects: Sequence[Subject]) -> bool:
    waits = beside(subjects, mistakes.show, "mistakes")
    return waits | (len(subjects) == MOST and mistakes.versus(*subjects))


def has_network(job: Job) -> bool:
    return job.status != "failed" and (job.ready or job.active)


def page() -> None:
    candidates = offered(has_network, lambda row: row["size"] > 0, kept_rows())
    if not candidates:
        st.subheader("There is no network to look into yet")
        st.write("Train one: while it learns, and ever after, it can be seen here from the inside, epoch by epoch.")
        st.page_link("pages/train.py", label="Train a first one", icon=":material/play_circle:")
        return
    asked, epoch = asked_moment()
    if asked:
        keep("inside/runs", [number for number in asked if number in candidates][:MOST])
    run: Record | None = shown_run()
    latest = run.number if run and run.number in candidates else max(candidates)
    about = "Whose network is looked at; two are shown side by side."
    chosen = choose_runs("Runs", candidates, [latest], key="inside/runs", help=about, most=MOST)
    panels.follow(lambda: live(chosen, epoch), lambda: known(chosen), panels.state_of(known(chosen)))


ensure_frame()
with st.container(key="inside"):
    if engine_is_here():
        page()
    else:
        st.caption("The networks will be here in a moment.")
await_engine()
