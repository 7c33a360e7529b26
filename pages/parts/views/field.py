"""The field: validation pictures of every class, each with what the network says of it after the last epoch."""

import streamlit as st

from dlcore.engine.job import Moment
from dlcore.recipe import Recipe
from pages.parts.sample_field import sample_field, sheet
from pages.parts.state.looking import validation_samples
from pages.parts.state.process import engine_is_here
from pages.parts.state.tab import once

COLUMNS, ROWS = 20, 2
HEIGHT = 76  # pixels, kept free until the pictures are read


def field(run: Moment | None, recipe: Recipe) -> int | None:
    """The place in the validation split of the sample that is picked; None while there is nothing to pick."""
    here = run is not None and run.targets is not None
    samples = validation_samples(recipe.data, COLUMNS * ROWS, here) if engine_is_here() else None
    with st.container(key="field"):
        if not samples:
            return None
        classes, answers = recipe.task.classes, None
        if run is not None and run.predicted is not None:
            answers = [classes[answer] for answer in run.predicted[samples.places]]
        right = [classes[target] for target in samples.targets]
        pictures = once("field", (recipe.data, here), lambda: sheet(samples.pictures, COLUMNS))
        picked = sample_field(pictures, COLUMNS, right, answers, 0, key=f"field/{recipe.data.kind}")
    return int(samples.places[picked])
