"""Which run the Train page shows, in the bar and under the buttons; and what the end of an earlier process left."""

import html

import streamlit as st

from dlcore.engine.job import Job
from pages.parts.frame import part
from pages.parts.panels import escape, told
from pages.parts.run_looks import short_name
from pages.parts.state.drafts import Draft
from pages.parts.state.process import runs_here, store
from pages.parts.state.tab import keep, shown_run, widget


def name_shown(run: Job | None) -> None:
    """The run that is shown, in the bar above the page."""
    told = f"Run {run.number} · {short_name(run.name)} · {run.status}" if run else ""
    with st.container(key="shown-run"):
        st.html(f"<p>{html.escape(told)}</p>")


def choose_shown(chosen: Draft) -> None:
    """Which run the page shows, and with several under way a choice of them; before the first, what Start would make:
    the line is always there, so that nothing moves when runs come.
    """
    shown = shown_run()
    runs = {job.number: job for job in runs_here() if job.active or job is shown}
    names = {number: f"{escape(job.name)} · run {number}" for number, job in runs.items()}
    key = f"train/shown/{'-'.join(map(str, runs))}"
    with st.container(horizontal=True, vertical_alignment="center", key="under-way"):
        picked = st.pills(
            "Under way",
            list(names) or [0],
            default=shown.number if shown else 0,
            format_func=lambda number: names.get(number, f"{escape(chosen.run_name)} · not started"),
            label_visibility="collapsed",
            required=True,
            disabled=not runs,
            key=key,
            on_change=lambda: keep("train/shown", widget(key)),  # before the buttons above are drawn, which act on it
        )
        keep("train/shown", picked)
        with told():
            idle = store() and not any(job.active for job in runs.values())
            interrupted_note(store().interrupted(most=1) if idle else [])


def interrupted_note(rows: list[dict]) -> None:
    """A link to each run that broke off."""
    with part(bool(rows)):
        for row in rows:
            ended = row["epoch"] >= row["epochs"]
            where = "after its last epoch" if ended else f"in epoch {row['epoch'] + 1} of {row['epochs']}"
            label = f"{short_name(row['name'])} (run {row['number']}) was interrupted {where}: go on with it"
            address = {"label": escape(label), "query_params": {"run": row["number"]}}
            st.page_link("pages/runs.py", icon=":material/history:", **address)
