"""Runs: every run that is kept. Find one, look at it, go on with it; lay several over each other."""

from collections.abc import Sequence

import streamlit as st

from dlcore.runs.records import ACTIVE, Record
from pages.parts import panels
from pages.parts.attempts import attempt_problem
from pages.parts.charts import overlay_figure
from pages.parts.deleted_runs import deleted_runs, undo_delete
from pages.parts.facts import difference, table
from pages.parts.frame import ensure_frame, part
from pages.parts.run_detail import charts, follow, one_run
from pages.parts.runs_table import TICK, overview
from pages.parts.state.address import follow_selection, selected_runs, show_selection
from pages.parts.state.process import record, store
from pages.parts.state.tab import widget
from pages.parts.unknown_folders import unknown_folders

AXES = ("step", "epoch", "time")


def page() -> None:
    follow_selection(arrived=widget("runs/list") is None)
    unknown_folders()
    rows = store().rows()
    if rows:
        active = any(row["status"] in ACTIVE for row in rows)
        tick = max(TICK, len(rows) / 1000)  # what thousands of rows cost, training would feel
        st.fragment(overview, run_every=tick if active else None)([rows], active)
    else:
        empty()
    show_selection()
    known = {str(row["number"]): row["number"] for row in rows}
    selected = selected_runs() or list(known)[:1]  # the newest
    with part(any(id not in known for id in selected)):
        for id in selected:
            if id not in known:
                st.warning(panels.escape(unknown(id)), icon=":material/search_off:")
    numbers = [known[id] for id in selected if id in known]
    with st.container(key="run-detail", gap="small"):
        undo_delete()
        with part(bool(numbers)):
            if len(numbers) == 1:
                one_run(numbers[0], rows)
            elif numbers:
                several(numbers)


def empty() -> None:
    with st.container():
        st.subheader("No run is kept yet")
        st.write(
            "Whatever trains is kept from its first epoch on, and is found here: also what the command line trains."
        )
        st.page_link("pages/train.py", label="Train a first one", icon=":material/play_circle:")
        attempt_problem()
        with panels.told():
            deleted_runs()


def unknown(id: str) -> str:
    deleted = {str(row["number"]) for row in store().rows(deleted=True)}
    if id in deleted:
        return f"Run {id} is deleted; below the table it can be brought back."
    return f"There is no run {id[:40]}."


def several(numbers: list[int]) -> None:
    """Runs over each other, and in what they differ."""
    runs = [record(number) for number in numbers]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(runs)} runs** over the")
        over = st.segmented_control(
            "Over",
            AXES,
            default=AXES[0],
            required=True,
            key="runs/over",
            persist_state="session",
            label_visibility="collapsed",
        )

    def curves(runs: Sequence[Record]) -> None:
        for _ in ("state", "failure"):  # which one run alone has there
            st.empty()
        charts(runs, overlay_figure(runs, "loss", over), overlay_figure(runs, "accuracy", over), "overlay")

    with st.container():
        follow(numbers, curves, panels.state_of(runs))
    rows = difference([run.recipe for run in runs])
    if rows:
        st.html(table(["setting", *(f"{run.name} · run {run.number}" for run in runs)], rows))
    else:
        st.caption("Their recipes are the same, the seed included.")


ensure_frame()
if store():
    with panels.told():
        page()
else:
    st.info("While this lasts there are no runs to show, and what is trained is gone with the program.")
