"""Compare: race recipes side by side, from the same start, over the same batches, with the same budget."""

import html
import json

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import Recipe, change, read
from dlcore.runs.records import Record, Stored
from dlcore.settings import SettingsError
from dlcore.studies import races
from pages.parts import panels
from pages.parts.charts import accuracy_figure, colour, dashes, loss_figure
from pages.parts.choosing import choose_runs, known, offered
from pages.parts.contestants import choose_contestants
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.facts import difference, news, table
from pages.parts.frame import ensure_frame, part
from pages.parts.live_chart import live_chart
from pages.parts.state.address import follow_address, show_address
from pages.parts.state.drafts import draft
from pages.parts.state.process import conductor, latest_race

RATE = "Optimizer: learning rate"  # which has a row of its own
TICK = 0.4  # seconds between two looks while learning rates are tried


def live(field: list[tuple[str, Recipe]], tried: list[str], chosen: list[int]) -> None:
    """The buttons, and the race."""

    def jobs() -> list[Job]:
        return [run for run in latest_race() if isinstance(run, Job)]

    def state() -> tuple:
        return panels.state_of([*latest_race(), *known(chosen)]), bool(trying())

    def start(pace: float | None, paused: bool) -> list[Job]:
        return races.start(conductor(), field, tried, pace=pace, paused=paused) if field and not trying() else []

    shown = state()
    panels.buttons(jobs, start, startable=bool(field) and not trying())

    def looking() -> None:
        with panels.told():
            stage = trying()  # before the jobs, so that a race that is shown has begun for good
            look(field, stage, latest_race(), known(chosen))
            if state() != shown:
                st.rerun()

    # Between a try and what follows it nothing trains for a moment, but the page goes on looking.
    st.fragment(looking, run_every=shown[0].tick or (TICK if trying() else None))()
    about(field, tried, latest_race())


def trying() -> races.Stage | None:
    """What goes on before a race whose contestants look for their learning rates."""
    tuning = races.tuning(conductor())
    stage = tuning.stage if tuning else None
    return stage if stage and tuning.going else None


def look(field: list[tuple[str, Recipe]], stage: races.Stage | None, jobs: list[Record], beside: list[Record]) -> None:
    """What moves during a race."""
    runs = [*jobs, *beside]
    height = 340 + 20 * max(0, len(runs) - 4)  # more names over the charts take more lines
    with st.container(key="status"):
        tuning = races.tuning(conductor())
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
        if runs and not any(run.recipe.data.classes for run in runs):
            st.info("Numbers have no accuracy: these recipes predict values, so watch the loss.")
        else:
            live_chart(accuracy_figure(jobs, beside), key="race-accuracy-chart", height=height)
    with st.container(key="standings"):
        standings(jobs, beside)


def tries_status(tuning: races.Tuning, stage: races.Stage) -> None:
    """Whose learning rate is being looked for, and how far that is."""
    name, jobs = panels.escape(stage.name), stage.jobs
    if any(job.active for job in jobs):
        rates = ", ".join(f"{job.first_recipe.optimizer.lr:g}" for job in jobs)
        parts = [f"**{panels.state(jobs)}** · trying learning rates: {name} at {rates}"]
    else:
        parts = [f"**preparing** · learning rates are tried: {name}"]
    parts.append(f"contestant {stage.place} of {len(tuning.names)}")
    parts.append(f"epoch {jobs[0].epoch} of {jobs[0].recipe.epochs}")
    st.progress(panels.done(jobs, tuning.spans[jobs[0].race]), text=" · ".join([*parts, "then the race"]))
    for trouble in [job.trouble for job in jobs if job.trouble]:
        st.warning(panels.escape(trouble), icon=":material/warning:")


def standings(jobs: list[Record], beside: list[Record]) -> None:
    """Who leads, as a table of plain text, and the verdict once all are done; runs beside the race have no place."""
    if not jobs:
        st.caption("All contestants start from the same weights and see the same batches. The standings appear here.")
    elif jobs == stopped_tries():
        st.info("It was stopped while learning rates were tried, so there was no race.", icon=":material/flag:")
    elif not trying() and not any(job.active for job in jobs):
        st.success(panels.escape(races.verdict(jobs)), icon=":material/flag:")
    else:
        st.empty()  # the table keeps its place
    dash = dict(zip([*jobs, *beside], dashes([*jobs, *beside]), strict=True))
    rows = [row(str(place), html.escape(job.name), job, dash[job]) for place, job in enumerate(races.ranking(jobs), 1)]
    rows += [row("–", f"{html.escape(run.name)} · run&nbsp;{run.number}", run, dash[run]) for run in beside]
    if rows:
        head = "".join(f"<th>{name}</th>" for name in rows[0])
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.values())}</tr>" for row in rows)
        st.html(f'<table class="standings"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def stopped_tries() -> list[Job]:
    """Those after which no race began."""
    tuning = races.tuning(conductor())
    return tuning.stage.jobs if tuning and not tuning.going and tuning.stage else []


def about(field: list[tuple[str, Recipe]], tried: list[str], jobs: list[Record]) -> None:
    """In what the contestants differ, of the race that is there and of the one to come, if that is another; and how
    those came by their learning rates that looked for them.
    """
    tuning = races.tuning(conductor())
    problem = tuning.problem if tuning else ""
    with part(bool(problem)):
        if problem:
            st.error(panels.escape(problem), icon=":material/error:")
    if stage := trying():
        there, still = stage.field, tuning.names[stage.place - 1 :]
    else:
        there, still = {job.name: job.first_recipe for job in jobs}, []
    differences("In what they differ", there, still)
    notes = {job.name: note for job in jobs if (note := note_of(job))}
    with part(bool(notes)):
        if notes:
            st.caption("How they came by their learning rates")
            st.markdown("\n".join(f"- {panels.escape(f'{name}: {note}')}" for name, note in notes.items()))
    rates = {name: recipe.optimizer.lr for name, recipe in there.items() if name in tried}
    same = there == {name: change(one, {"optimizer.lr": rates.get(name, one.optimizer.lr)}) for name, one in field}
    startable = not same and not stage and not any(job.active for job in jobs)
    title = "In what those of the next race differ" if there else "In what they differ"
    differences(title, dict(field) if startable else {}, tried)
    coming = [recipe for _, recipe in field] if startable and there else []
    new = [one for one in news(coming, list(there.values())) if not one.startswith(RATE)] if coming else []
    with part(bool(new)):
        if new:
            st.caption(panels.escape(f"In all of the next race: {' · '.join(new)}"))


def differences(title: str, recipes: dict[str, Recipe], tried: list[str]) -> None:
    """A table of the settings that contestants have not in common, and of their learning rates in any case."""
    with part(bool(recipes)):
        if recipes:
            rates = [tries(recipe) if name in tried else f"{recipe.optimizer.lr:g}" for name, recipe in recipes.items()]
            others = [row for row in difference(list(recipes.values())) if row[0] != RATE]
            st.caption(title)
            st.html(table(["setting", *recipes], [["Learning rate", *rates], *others]))


def tries(recipe: Recipe) -> str:
    """The learning rates that are to be tried."""
    return f"tries {', '.join(f'{rate:g}' for rate in races.tries_rates(recipe))}"


def note_of(run: Record) -> str:
    """What a run tried that looked for its learning rate."""
    tuning = races.tuning(conductor())
    if tuning and tuning.race and tuning.race == run.race and run.name in tuning.tries:
        return tuning.told(run.name)
    note = run.note.partition("\n")[0] if isinstance(run, Stored) else ""
    return note if note.startswith("Learning rate") else ""


def row(place: str, name: str, run: Record, dash: str) -> dict[str, str]:
    """The cells of a run's row, as HTML, which `name` is already; what comes from outside is escaped."""
    last, best = (run.history.epochs or [None])[-1], run.history.best
    accuracy = "–" if last is None or last.val_accuracy is None else f"{last.val_accuracy:.1%}"
    swatch = f'<i class="swatch {dash}" style="background:{colour(run.number)}"></i>'
    return {
        "place": place,
        "run": f'<div class="named">{swatch}<span>{name}</span></div>',
        "learning rate": races.rate(run),
        "status": html.escape(f"{run.status}: {run.failure.text}" if run.failure else run.status),
        "epoch": f"{run.epoch}&nbsp;of&nbsp;{run.recipe.epochs}",
        "validation accuracy": accuracy,
        "validation loss": f"{last.val_loss:.4f}" if last else "–",
        "best epoch": str(best.epoch) if best else "–",
        "own time": f"{last.seconds:.1f} s" if last else "–",
        "steps/s": f"{run.steps_per_second:,.0f}",
    }


def choose_beside(racing: list[Record]) -> list[int]:
    """Other runs to draw in the same charts."""
    contestants = {job.number for job in racing}
    others = offered(lambda job: job.history.steps > 0, lambda row: row["step"] > 0)
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
        panels.problem_list(chosen.refused, "This link asks for what cannot be had:")
    base, field, problems = None, [], []
    try:
        base = read(json.dumps(chosen.values))
    except SettingsError as error:
        problems += error.problems
    with contestants:
        lineup = choose_contestants(base)
    try:
        field = races.contestants(base, lineup.field) if base else []
    except SettingsError as error:
        problems += error.problems
    problems += lineup.problems
    with part(bool(problems)):
        panels.problem_list(problems)
    st.fragment(live)([] if problems else field, lineup.tried, beside)


ensure_frame()
with panels.told():
    page()
