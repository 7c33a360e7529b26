"""Compare: race recipes side by side, from the same start, over the same batches, with the same budget."""

import html
import json

import streamlit as st

from dlcore import races
from dlcore.jobs import Job
from dlcore.recipe import Recipe, read
from dlcore.records import Record
from dlcore.settings import SettingsError
from pages.parts import panels
from pages.parts.charts import accuracy_figure, colour, dashes, loss_figure
from pages.parts.choosing import choose_runs, known, offered
from pages.parts.contestants import choose_contestants
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.frame import ensure_frame
from pages.parts.live_chart import live_chart
from pages.parts.session import conductor, draft, latest_race


def live(field: list[tuple[str, Recipe]], chosen: list[int]) -> None:
    """The buttons, and the race."""

    def runs() -> list[Record]:
        return [*latest_race(), *known(chosen)]

    shown = panels.state_of(runs())

    def start(pace: float | None, paused: bool) -> list[Job]:
        return conductor().race(field, pace=pace, paused=paused) if field else []

    panels.buttons(latest_race, start, startable=bool(field))
    panels.follow(lambda: look(field, latest_race(), known(chosen)), runs, shown)


def look(field: list[tuple[str, Recipe]], jobs: list[Job], beside: list[Record]) -> None:
    """What moves during a race."""
    runs = [*jobs, *beside]
    height = 340 + 20 * max(0, len(runs) - 4)  # more names over the charts take more lines
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
        live_chart(loss_figure(jobs, beside), key="race-loss-chart", height=height)
    with right.container(key="race-accuracy"):
        if runs and not any(run.recipe.data.classes for run in runs):
            st.info("Numbers have no accuracy: these recipes predict values, so watch the loss.")
        else:
            live_chart(accuracy_figure(jobs, beside), key="race-accuracy-chart", height=height)
    with st.container(key="standings"):
        standings(jobs, beside)


def standings(jobs: list[Job], beside: list[Record]) -> None:
    """Who leads, as a table of plain text, and the verdict once all are done; runs beside the race have no place."""
    if not jobs:
        st.caption("All contestants start from the same weights and see the same batches. The standings appear here.")
    elif not any(job.active for job in jobs):
        st.success(panels.escape(races.verdict(jobs)), icon=":material/flag:")
    dash = dict(zip([*jobs, *beside], dashes([*jobs, *beside]), strict=True))
    rows = [row(str(place), html.escape(job.name), job, dash[job]) for place, job in enumerate(races.ranking(jobs), 1)]
    rows += [row("–", f"{html.escape(run.name)} · run&nbsp;{run.number}", run, dash[run]) for run in beside]
    if rows:
        head = "".join(f"<th>{name}</th>" for name in rows[0])
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.values())}</tr>" for row in rows)
        st.html(f'<table class="standings"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def row(place: str, name: str, run: Record, dash: str) -> dict[str, str]:
    """The cells of a run's row, as HTML, which `name` is already; what comes from outside is escaped."""
    last, best = (run.history.epochs or [None])[-1], run.history.best
    accuracy = "–" if last is None or last.val_accuracy is None else f"{last.val_accuracy:.1%}"
    swatch = f'<i class="swatch {dash}" style="background:{colour(run.number)}"></i>'
    return {
        "place": place,
        "run": f"{swatch}{name}",
        "status": html.escape(f"{run.status}: {run.failure.text}" if run.failure else run.status),
        "epoch": f"{run.epoch}&nbsp;of&nbsp;{run.recipe.epochs}",
        "validation accuracy": accuracy,
        "validation loss": f"{last.val_loss:.4f}" if last else "–",
        "best epoch": str(best.epoch) if best else "–",
        "own time": f"{last.seconds:.1f} s" if last else "–",
        "steps/s": f"{run.steps_per_second:,.0f}",
    }


def choose_beside(racing: list[Job]) -> list[int]:
    """Other runs to draw in the same charts."""
    contestants = {job.number for job in racing}
    others = offered(lambda job: job.history.steps > 0, lambda row: row["step"] > 0)
    others = {number: called for number, called in others.items() if number not in contestants}
    if not others:
        return []
    about = "Earlier runs, drawn in the same charts. They take no part in the race and its verdict."
    return list(choose_runs("Beside them", others, [], key="race/beside", help=about))


ensure_frame()
chosen = draft("compare")
jobs = latest_race()
with st.sidebar:
    choose_named(chosen)
    changes, problems = choose_contestants()
    with st.container():  # there from the start, so that what follows stays as it is when the first run can be chosen
        beside = choose_beside(jobs)
    with st.expander("What they share"):
        edit_recipe(chosen)
try:
    field = races.contestants(read(json.dumps(chosen.values)), changes)
except SettingsError as error:
    problems += error.problems
panels.problem_list(problems)
st.fragment(live)([] if problems else field, beside)
