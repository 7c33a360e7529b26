"""What a person types, checked: a run's id, a recipe with its changes, inputs to predict for."""

import math
from pathlib import Path

import torch

from dlcore.catalogue.spec import Tokens
from dlcore.recipe import Recipe, change, parse_change, read
from dlcore.recipes import RECIPES
from dlcore.runs.store import StoreError
from dlcore.settings import Problem, SettingsError, did_you_mean, show


def run_number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise StoreError(f"A run's id is a whole number, as `python -m dlcore runs` lists it, not {show(text)}.")
    return int(text)


def read_recipe(source: str, changes: list[str]) -> Recipe:
    if source in RECIPES:
        recipe = RECIPES[source].recipe
    elif Path(source).is_file():
        try:
            recipe = read(Path(source).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([Problem("", f"{source} cannot be read: {error}.")]) from None
    elif source.endswith(".json"):
        raise SettingsError([Problem("", f"There is no file {source}.")])
    else:
        nearest = did_you_mean(source, RECIPES) or "."
        text = f"There is no recipe named '{source}'; there are {', '.join(RECIPES)}{nearest}"
        raise SettingsError([Problem("", text)])
    return change(recipe, changes_of(changes))


def changes_of(texts: list[str]) -> dict:
    """What `--set` names, each SETTING=VALUE; of repeated ones the last counts."""
    return dict(map(parse_change, texts))


def inputs_of(recipe: Recipe, values: list[str]) -> torch.Tensor:
    """The inputs (N, *shape) that `--predict` names."""
    needed, inputs = math.prod(recipe.shape), recipe.inputs
    tokens = range(len(inputs.vocabulary)) if isinstance(inputs, Tokens) else None
    rows, problems = [], []
    for text in values:
        try:
            row = [float(number) for number in text.split(",")]
        except ValueError:
            row = []
        if len(row) != needed or not all(math.isfinite(one) if tokens is None else one in tokens for one in row):
            takes = "a number" if needed == 1 else f"{needed} numbers joined by commas"
            takes += f", each a token's, 0 to {len(tokens) - 1}" if tokens else ""
            problems.append(Problem("predict", f"--predict {text}: an input of {recipe.data.kind} is {takes}."))
        rows.append(row)
    if problems:
        raise SettingsError(problems)
    return torch.tensor(rows, dtype=getattr(torch, inputs.dtype)).reshape(-1, *recipe.shape)
