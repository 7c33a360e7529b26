"""Drafts: recipes while they are being chosen, one for each page that has controls."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import Recipe, repeat
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.runs.branching import branch_problems, goes_on_with, step_after
from dlcore.runs.records import Record, branch_name
from dlcore.runs.remote import Remote
from dlcore.settings import Problem, SettingsError, parse
from dlcore.sharing import nearest_named
from pages.parts.state.process import engine_is_here

CHANGED = " (changed)"


class BranchPoint(NamedTuple):
    """The run, and the epoch of it, whose weights the next run begins with."""

    number: int
    name: str
    epoch: int
    recipe: Recipe  # by which it trained then


@dataclass
class Draft:
    """A recipe while it is being chosen: as a plain dict, so that it can hold what is not valid yet."""

    page: str
    name: str  # of the named recipe it started from
    start: dict
    values: dict
    generation: int = 0  # changes when another recipe is taken, so that its widgets start anew
    links: int = 0  # how often a recipe came from elsewhere; each starts the box of named recipes anew, which shows it
    refused: list[Problem] = field(default_factory=list)  # what the last link asked for and could not have
    branch: BranchPoint | None = None  # where a run of this draft begins, if not at the beginning

    @property
    def run_name(self) -> str:
        """What a run of this draft is called."""
        if self.branch:
            return branch_name(self.branch.name, self.branch.epoch)
        unchanged = self.values == RECIPES[self.name].recipe.model_dump(mode="json")
        return self.name if unchanged else f"{self.name}{CHANGED}"

    def start_from(self, name: str) -> None:
        """Begin with a named recipe."""
        self.take(name, RECIPES[name].recipe)

    def take(self, name: str, recipe: Recipe) -> None:
        self.take_values(name, recipe.model_dump(mode="json"))

    def take_values(self, name: str, values: dict) -> None:
        self.start, self.values = copy.deepcopy(values), values
        self.name, self.generation, self.refused, self.branch = name, self.generation + 1, [], None

    def take_branch(self, run: Record, epoch: int) -> None:
        """A run's recipe as it was after an epoch, for a run that begins there."""
        self.take(started_from(run), goes_on_with(run, epoch))
        self.links += 1
        self.branch = BranchPoint(run.number, run.name, epoch, run.recipe_at(step_after(run, epoch)))

    def changes(self) -> dict[str, Any]:
        """What was changed since the start, by dotted path."""
        start = _flat(self.start)
        return {path: value for path, value in _flat(self.values).items() if value != start.get(path)}

    def checked(self) -> tuple[Recipe | None, list[Problem]]:
        """The recipe, or all that is in its way, as a branch too."""
        here = engine_is_here()
        try:
            recipe = parse(Recipe, json.dumps(self.values))
            # Whether this machine can have it is asked once PyTorch is here.
            if problems := recipe.problems() if here else recipe.contradictions():
                return None, problems
        except SettingsError as error:
            return None, error.problems
        problems = branch_problems(self.branch.recipe, self.branch.epoch, recipe) if self.branch and here else []
        return (None if problems else recipe), problems

    def mend(self, fix: Mapping[str, Any]) -> None:
        """Change what a problem says would end it, by dotted path; the controls follow."""
        self.values = repeat(parse(Recipe, json.dumps(self.values)), fix).model_dump(mode="json")
        self.generation += 1

    def settle(self) -> None:
        """What was changed is the start of what is changed next; the widgets stay."""
        self.start = copy.deepcopy(self.values)

    def open_link(self, name: str, values: dict) -> None:
        self.take_values(name, values)
        self.links += 1


def started_from(run: Record) -> str:
    """The named recipe that a run's began as: by the run's name, or else the one that its recipe comes nearest to."""
    name = run.name.removesuffix(CHANGED)
    return name if name in RECIPES else nearest_named(run.recipe.model_dump(mode="json"))


def draft(page: str, run: Job | None = None) -> Draft:
    """This tab's draft for a page; at first that of the run which is there already, else the default recipe.

    Kept here because Streamlit forgets a widget's value as soon as the widget leaves the page.
    """
    key = f"draft/{page}"
    if key not in st.session_state:
        st.session_state[key] = Draft(page, DEFAULT, {}, {})
        st.session_state[key].take(
            started_from(run) if run else DEFAULT, run.recipe if run else RECIPES[DEFAULT].recipe
        )
    return st.session_state[key]


def steering_draft(job: Job | Remote) -> Draft:
    """This tab's controls of a run under way; they start anew when it was changed elsewhere."""
    key, wanted = f"draft/steer/{job.number}", job.wanted.model_dump(mode="json")
    held = st.session_state.setdefault(key, Draft(f"steer/{job.number}", DEFAULT, {}, {}))
    if held.start != wanted:
        held.take_values(held.name, wanted)
    return held


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    """A nested dict by dotted path."""
    flat = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat
