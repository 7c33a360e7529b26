"""The tries before a race: runs that look for the learning rates of its contestants."""

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.runs.records import Record, Stored
from dlcore.studies import tries
from pages.parts import panels
from pages.parts.state.process import conductor


def trying() -> tries.Stage | None:
    """What goes on before a race whose contestants look for their learning rates."""
    tuning = tries.tuning(conductor())
    stage = tuning.stage if tuning else None
    return stage if stage and tuning.going else None


def stopped_tries() -> list[Job]:
    """Those after which no race began."""
    tuning = tries.tuning(conductor())
    return tuning.stage.jobs if tuning and not tuning.going and tuning.stage else []


def rates_to_try(recipe: Recipe) -> str:
    """The learning rates that are to be tried."""
    return f"tries {', '.join(f'{rate:g}' for rate in tries.tries_rates(recipe))}"


def tries_status(tuning: tries.Tuning, stage: tries.Stage) -> None:
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


def note_of(run: Record) -> str:
    """What a run tried that looked for its learning rate."""
    tuning = tries.tuning(conductor())
    if tuning and tuning.race and tuning.race == run.race and run.name in tuning.tries:
        return tuning.told(run.name)
    note = run.note.partition("\n")[0] if isinstance(run, Stored) else ""
    return note if note.startswith("Learning rate") else ""
