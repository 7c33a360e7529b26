"""In what the contestants of a race differ, and how they came by their learning rates."""

import streamlit as st

from dlcore.recipe import Recipe, change
from dlcore.runs.records import Record
from dlcore.studies import tries
from pages.parts.facts import difference, news, table
from pages.parts.frame import part
from pages.parts.panels import escape
from pages.parts.race_tries import note_of, rates_to_try, trying
from pages.parts.state.process import conductor

RATE = "Optimizer: learning rate"  # which has a row of its own


def race_differences(field: list[tuple[str, Recipe]], tried: list[str], jobs: list[Record]) -> None:
    """Of the race that is there, and of the one to come, if that is another; of the latter, `field` are the contestants
    and `tried` those that look for a rate.
    """
    tuning = tries.tuning(conductor())
    problem = tuning.problem if tuning else ""
    with part(bool(problem)):
        if problem:
            st.error(escape(problem), icon=":material/error:")
    if stage := trying():
        there, still = stage.field, tuning.names[stage.place - 1 :]
    else:
        there, still = {job.name: job.first_recipe for job in jobs}, []
    differences("In what they differ", there, still)
    notes = {job.name: note for job in jobs if (note := note_of(job))}
    with part(bool(notes)):
        if notes:
            st.caption("How they came by their learning rates")
            st.markdown("\n".join(f"- {escape(f'{name}: {note}')}" for name, note in notes.items()))
    rates = {name: recipe.optimizer.lr for name, recipe in there.items() if name in tried}
    same = there == {name: change(one, {"optimizer.lr": rates.get(name, one.optimizer.lr)}) for name, one in field}
    startable = not same and not stage and not any(job.active for job in jobs)
    title = "In what those of the next race differ" if there else "In what they differ"
    differences(title, dict(field) if startable else {}, tried)
    coming = [recipe for _, recipe in field] if startable and there else []
    new = [one for one in news(coming, list(there.values())) if not one.startswith(RATE)] if coming else []
    with part(bool(new)):
        if new:
            st.caption(escape(f"In all of the next race: {' · '.join(new)}"))


def differences(title: str, recipes: dict[str, Recipe], tried: list[str]) -> None:
    """A table of the settings that contestants have not in common, and of their learning rates in any case."""
    with part(bool(recipes)):
        if recipes:
            rates = [rates_to_try(one) if name in tried else f"{one.optimizer.lr:g}" for name, one in recipes.items()]
            others = [row for row in difference(list(recipes.values())) if row[0] != RATE]
            st.caption(title)
            st.html(table(["setting", *recipes], [["Learning rate", *rates], *others]))
