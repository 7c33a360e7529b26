"""What lasts: the process's conductor, and what a browser tab remembers between runs of a page.

The only file that touches session_state and cache_resource. Jobs belong to the process: every tab sees them all.
"""

from dataclasses import dataclass

import streamlit as st

from dlcore.jobs import Conductor, Job
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES

CHANGED = " (changed)"


@st.cache_resource(show_spinner=False)
def conductor() -> Conductor:
    """The one that trains, for all tabs."""
    return Conductor()


def jobs() -> list[Job]:
    """Every job of this process, oldest first."""
    return list(conductor().jobs)


def latest_run() -> Job | None:
    """The run that the Train page shows: the last one started, whichever tab did it."""
    return next((job for job in reversed(jobs()) if job.race is None), None)


def latest_race() -> list[Job]:
    """The contestants of the last race."""
    race = max((job.race for job in jobs() if job.race), default=None)
    return [job for job in jobs() if race and job.race == race]


@dataclass
class Draft:
    """A recipe while it is being chosen: as a plain dict, so that it can hold what is not valid yet."""

    page: str
    name: str  # of the named recipe it started from
    start: dict
    values: dict
    generation: int = 0  # changes when another recipe is taken, so that its widgets start anew

    @property
    def run_name(self) -> str:
        """What a run of this draft is called."""
        unchanged = self.values == RECIPES[self.name].recipe.model_dump(mode="json")
        return self.name if unchanged else f"{self.name}{CHANGED}"

    def take(self, name: str, recipe: Recipe) -> None:
        self.start, self.values = recipe.model_dump(mode="json"), recipe.model_dump(mode="json")
        self.name, self.generation = name, self.generation + 1


def draft(page: str, run: Job | None = None) -> Draft:
    """This tab's draft for a page; at first that of the run which is there already, else the default recipe.

    Kept here because Streamlit forgets a widget's value as soon as the widget leaves the page.
    """
    key = f"draft/{page}"
    if key not in st.session_state:
        name, recipe = (run.name.removesuffix(CHANGED), run.recipe) if run else (DEFAULT, RECIPES[DEFAULT].recipe)
        st.session_state[key] = Draft(page, name, {}, {})
        st.session_state[key].take(name, recipe)
    return st.session_state[key]


def remember(key: str, default):
    """A value of this tab that outlives a visit to another page; set it with `keep`."""
    return st.session_state.get(f"kept/{key}", default)


def keep(key: str, value) -> None:
    st.session_state[f"kept/{key}"] = value


def widget(key: str, default=None):
    """The value of a widget on this page, for its own callback."""
    return st.session_state.get(key, default)
