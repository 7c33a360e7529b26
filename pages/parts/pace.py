"""The pace: how fast runs train, as it is chosen for all that begin and set for what is under way."""

from collections.abc import Callable

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.runs.records import PACES as LIMITS
from pages.parts.state.tab import choose_for_all, chosen_for_all, keep, remember, set_widget, unless_set, widget

WATCHABLE, FULL_SPEED = "watchable", "full speed"
PACES = (WATCHABLE, 1, 2, 5, 10, 20, 50, 100, 200, 500, FULL_SPEED)
WHOLE = 8.0  # seconds that all epochs of a recipe take at a watchable pace, unless the machine is slower
ABOUT = (
    f"Small networks are done before one can look. Watchable: a whole run, or a race, takes about {WHOLE:.0f} seconds, "
    "unless the machine needs longer. Epochs that are added later go on at the same pace."
)


def pace_for(recipe: Recipe) -> float | None:
    """The pace that is chosen, for a run of this recipe, in steps a second; None for full speed."""
    return _steps_a_second(_chosen(), recipe)


def watchable(recipe: Recipe) -> float | None:
    """Steps a second; None where nobody knows yet how many steps there are."""
    samples = recipe.data.train_size
    return min(recipe.epochs * recipe.steps_per_epoch(samples) / WHOLE, LIMITS[1]) if samples else None


def pace_slider(active: Callable[[], list[Job]], planned: Callable[[Job], Recipe]) -> None:
    """Shows the pace of what is under way, or else what was chosen. `planned`: the recipe that tells how fast watchable
    is for a job.
    """

    def set_pace() -> None:
        choose_for_all("pace", widget("pace"))
        for job in active():
            job.set_pace(pace_for(planned(job)))

    if going := active():
        _follow(going[0], planned(going[0]))
    st.select_slider(
        "Pace",
        PACES,
        key="pace",
        on_change=set_pace,
        format_func=lambda pace: pace if isinstance(pace, str) else f"{pace} steps/s",
        help=ABOUT,
        width=220,
        **unless_set("pace", value=_chosen()),
    )


def _chosen() -> str | int:
    return chosen_for_all("pace", WATCHABLE)


def _follow(job: Job, recipe: Recipe) -> None:
    """Have the slider show the pace of what is under way, where that is news to this tab."""
    news = job.number, job.pace
    if remember("pace/seen", None) != news:
        choice = _nearest(job.pace, recipe)
        keep("pace/seen", news)
        keep("pace", choice)
        set_widget("pace", choice)


def _nearest(pace: float | None, recipe: Recipe) -> str | int:
    """The choice that stands for a pace: where there are two, the one that was made."""
    same = [choice for choice in (_chosen(), *PACES) if _steps_a_second(choice, recipe) == pace]
    return same[0] if same else min(PACES[1:-1], key=lambda known: abs(known - pace))


def _steps_a_second(choice: str | int, recipe: Recipe) -> float | None:
    if choice == WATCHABLE:
        return watchable(recipe)
    return None if choice == FULL_SPEED else float(choice)
