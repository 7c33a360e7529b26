"""Compare: race recipes side by side, from the same start, over the same batches, with the same budget."""

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.runs.records import Record
from dlcore.settings import SettingsError
from dlcore.studies import races, tries
from pages.parts import panels
from pages.parts.charts import accuracy_figure, loss_figure
from pages.parts.choosing import choose_runs, kept_rows, known, offered
from pages.parts.contestants import choose_contestants
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.frame import ensure_frame, part
from pages.parts.live_chart import live_chart
from pages.parts.pace import pace_for
from pages.parts.problems import problem_list
from pages.parts.race_differences import race_differences
from pages.parts.race_standings import standings
from pages.parts.race_tries import tries_status, trying
from pages.parts.state.address import follow_address, show_address
from pages.parts.state.drafts import draft
from pages.parts.state.process import conductor, latest_race

TICK = 0.4  # seconds between two looks while learning rates are tried


def live(field: list[tuple[str, Recipe]], tried: list[str], chosen: list[int]) -> None:
    """The buttons, and the race."""

    def jobs() -> list[Job]:
        return [run for run in latest_race() if isinstance(run, Job)]

    def state() -> tuple:
        return panels.state_of([*latest_race(), *known(chosen)]), bool(trying())

    def start(paused: bool) -> list[Job]:
        ready = field and not trying()
        return tries.start(conductor(), field, tried, pace=pace_for(field[0][1]), paused=paused) if ready else []

    def planned(job: Job) -> Recipe:
        """The race that a try is for: a try is shorter, but has the race's pace."""
        stage = trying()
        return next(iter(stage.field.values())) if stage else job.first_recipe

    shown = state()
    panels.buttons(jobs, start, startable=bool(field) and not trying(), planned=planned)

    def looking() -> None:
        with panels.told():
            stage = trying()  # before the jobs, so that a race that is shown has begun for good
            look(field, stage, latest_race(), known(chosen))
            if state() != shown:
                st.rerun()

    # Between a try and what follows it nothing trains for a moment, but the page goes on looking.
    st.fragment(looking, run_every=shown[0].tick or (TICK if trying() else None))()
    race_differences(field, tried, latest_race())


def look(field: list[tuple[str, Recipe]], stage: tries.Stage | None, jobs: list[Record], beside: list[Record]) -> None:
    """What moves during a race."""
    runs = [*jobs, *beside]
    height = 340 + 20 * max(0, len(runs) - 4)  # more names over the charts take more lines
    with st.container(key="status"):
        tuning = tries.tuning(conductor())
        if stage:
            tries_status(tuning, stage)
        elif jobs:
            panels.status(jobs, tuning.spans.get(jobs[0].race, panels.WHOLE) if tuning else panels.WHOLE)
        else:
            names = panels.escape(", ".join(name for name, _ in field))
            st.progress(
                0.0, text=f"**ready** · {names or 'No contestants yet'}. Press Start, or change the race first."
            )
    left, right = st.columns(2)
    with left.container(key="race-loss"):
        live_chart(loss_figure(jobs, beside), key="race-loss-chart", height=height)
    with right.container(key="race-accuracy"):
        if runs and not any(run.recipe.task.classes for run in runs):
            st.info("Numbers have no accuracy: these recipes predict values, so watch the loss.")
        else:
            live_chart(accuracy_figure(jobs, beside), key="race-accuracy-chart", height=height)
    with st.container(key="standings"):
        standings(jobs, beside)


def choose_beside(racing: list[Record]) -> list[int]:
    """Other runs to draw in the same charts."""
    contestants = {job.number for job in racing}
    others = offered(lambda job: job.history.steps > 0, lambda row: row["step"] > 0, kept_rows())
    others = {number: called for number, called in others.items() if number not in contestants}
    if not others:
        return []
    about = "Earlier runs, drawn in the same charts. They take no part in the race and its verdict."
    return list(choose_runs("Beside them", others, [], key="race/beside", help=about))


def page() -> None:
    chosen = draft("compare")
    follow_address(chosen)
    jobs = latest_race()
    with st.sidebar:
        choose_named(chosen)
        contestants = st.container()
        # There from the start, so that what follows stays as it is when the first run can be chosen.
        with st.container():
            beside = choose_beside(jobs)
        with st.expander("What they share"):
            edit_recipe(chosen)
    show_address(chosen)
    with part(bool(chosen.refused)):
        problem_list(chosen.refused, "This link asks for what cannot be had:")
    field: list[tuple[str, Recipe]] = []
    base, problems = chosen.checked()
    with contestants:
        lineup = choose_contestants(base)
    try:
        field = races.contestants(base, lineup.field) if base else []
    except SettingsError as error:
        problems = error.problems
    problems = [*problems, *lineup.problems]
    with part(bool(problems)):
        problem_list(problems)
    st.fragment(live)([] if problems else field, lineup.tried, beside)


ensure_frame()
with panels.told():
    page()
