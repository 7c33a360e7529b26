"""Compare: race recipes side by side, from the same start, over the same batches, with the same budget."""

import html
import json

import streamlit as st

from dlcore import races
from dlcore.jobs import Job
from dlcore.recipe import Recipe, read
from dlcore.settings import SettingsError
from pages.parts import panels
from pages.parts.charts import accuracy_figure, colour, loss_figure
from pages.parts.contestants import choose_contestants
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.frame import ensure_frame
from pages.parts.live_chart import live_chart
from pages.parts.session import conductor, draft, latest_race


def live(field: list[tuple[str, Recipe]], active: bool) -> None:
    """What moves during a race."""

    def start(pace: float | None, paused: bool) -> list[Job]:
        return conductor().race(field, pace=pace, paused=paused) if field else []

    panels.buttons(latest_race, start, startable=bool(field))
    jobs = latest_race()
    with st.container(key="status"):
        if jobs:
            panels.status(jobs)
        else:
            names = panels.escape(", ".join(name for name, _ in field))
            st.progress(
                0.0, text=f"**ready** · {names or 'No contestants yet'}. Press Start, or change the race first."
            )
    left, right = st.columns(2)
    with left.container(key="race-loss"):
        live_chart(loss_figure(jobs), key="race-loss-chart", height=340)
    with right.container(key="race-accuracy"):
        if jobs and not jobs[0].recipe.data.classes:
            st.info("Numbers have no accuracy: these recipes predict values, so watch the loss.")
        else:
            live_chart(accuracy_figure(jobs), key="race-accuracy-chart", height=340)
    with st.container(key="standings"):
        standings(jobs)
    panels.rerun_when_changed(jobs, active)


def standings(jobs: list[Job]) -> None:
    """Who leads, as a table of plain text, and the verdict once all are done."""
    if not jobs:
        st.caption("All contestants start from the same weights and see the same batches. The standings appear here.")
        return
    if not any(job.active for job in jobs):
        st.success(panels.escape(races.verdict(jobs)), icon=":material/flag:")
    rows = [row(place, job) for place, job in enumerate(races.ranking(jobs), 1)]
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.values())}</tr>" for row in rows)
    st.html(f'<table class="standings"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def row(place: int, job: Job) -> dict[str, str]:
    """The cells of a contestant's row, as HTML; its name and its failure come from outside and are escaped."""
    last, best = (job.history.epochs or [None])[-1], job.history.best
    accuracy = "–" if last is None or last.val_accuracy is None else f"{last.val_accuracy:.1%}"
    return {
        "place": str(place),
        "contestant": f'<i class="swatch" style="background:{colour(job.number)}"></i>{html.escape(job.name)}',
        "status": html.escape(f"{job.status}: {job.failure.text}" if job.failure else job.status),
        "epoch": f"{job.epoch} of {job.recipe.epochs}",
        "validation accuracy": accuracy,
        "validation loss": f"{last.val_loss:.4f}" if last else "–",
        "best epoch": str(best.epoch) if best else "–",
        "own time": f"{last.seconds:.1f} s" if last else "–",
        "steps/s": f"{job.steps_per_second:,.0f}",
    }


ensure_frame()
chosen = draft("compare")
jobs = latest_race()
with st.sidebar:
    choose_named(chosen)
    changes, problems = choose_contestants()
    with st.expander("What they share"):
        edit_recipe(chosen)
try:
    field = races.contestants(read(json.dumps(chosen.values)), changes)
except SettingsError as error:
    problems += error.problems
panels.problem_list(problems)
active = any(job.active for job in jobs)
st.fragment(live, run_every=panels.TICK if active else None)([] if problems else field, active)
