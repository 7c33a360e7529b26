"""The manifest: what a run's folder tells of it besides its checkpoints, in `run.json`, so that the folder alone is
enough to enter the run into a list of runs. What it measured is not in there.

Such a file may come from anywhere: everything in it is checked before it is used.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dlcore.history import LOST, MEASURES, Change, History
from dlcore.recipe import STEERABLE, Recipe, repeat, value_at
from dlcore.runs.checkpoints import whole
from dlcore.runs.operations import SURGERY, is_operation, problems
from dlcore.runs.records import PACE, PACES, Branch, Record, Stored, checked_name, checked_note, checked_tags
from dlcore.settings import Problem, SettingsError, parse, show

FORMAT = 1
NAME = "run.json"
LARGEST = 1_000_000  # bytes that such a file may have


class ManifestError(Exception):
    """A folder that does not tell what its run is; the text is part of a sentence for people."""


Count = Annotated[int, Field(ge=0, le=10**15)]
Surgical = Annotated[str, Field(pattern=f"^{re.escape(SURGERY)}", max_length=200)]
Setting = Literal[*STEERABLE, *MEASURES, PACE, LOST] | Surgical  # that can change on the way


class About(BaseModel):
    """A run as `run.json` has it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    format: int = Field(ge=1)
    name: str
    note: str = ""
    tags: list[str] = []
    created: float = Field(ge=0, le=1e11)
    branch: tuple[Count, Count, Count] | None  # parent, epoch, step
    changes: list[tuple[Count, Setting, bool | int | float | str | None]]  # step, setting, value
    recipe: dict


def write(record: Record, folder: Path, name: str, note: str, tags: Sequence[str]) -> None:
    """Bring the file up to date; name, note and tags are as a person has set them since. Raises OSError."""
    values = {
        "format": FORMAT,
        "name": name,
        "note": note,
        "tags": list(tags),
        "created": record.created,
        "branch": record.branch and astuple(record.branch),
        "changes": [astuple(change) for change in record.history.changes],
        "recipe": record.first_recipe.model_dump(mode="json"),
    }
    text = json.dumps(values, indent=2) + "\n"
    file = folder / NAME
    if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
        return
    with whole(file) as partial:
        partial.write_text(text, encoding="utf-8")


def read(folder: Path) -> Stored:
    """The run, without a history. Raises ManifestError."""
    try:
        about = About.model_validate_json(_content(folder / NAME))
    except FileNotFoundError:
        raise ManifestError(f"it has no {NAME}, which tells its recipe (runs of an older dlcore have none)") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ManifestError(f"its {NAME} cannot be used ({where}{': ' if where else ''}{first['msg']})") from None
    except OSError as error:
        raise ManifestError(f"its {NAME} cannot be read ({error})") from None
    if about.format > FORMAT:
        told = f"its {NAME} has format {about.format}, and this dlcore reads up to {FORMAT}: update dlcore"
        raise ManifestError(told)
    changes = [Change(*one) for one in sorted(about.changes, key=lambda one: one[:2])]
    branch = Branch(*about.branch) if about.branch else None
    try:
        recipe = parse(Recipe, json.dumps(about.recipe))
        _check(recipe)
        _check_once(changes)
        for change in changes:
            _check_change(change, recipe, branch.step if branch else 0)
        known = {"branch": branch, "created": about.created, "history": History(changes=changes)}
        known |= {"note": checked_note(about.note), "tags": checked_tags(about.tags)}
        return Stored(0, checked_name(about.name), recipe, **known)
    except SettingsError as error:
        raise ManifestError(f"its {NAME} cannot be used ({str(error.problems[0]).rstrip('.')})") from None


def words(folder: Path, record: Record) -> dict[str, Any]:
    """A run's name, note and tags as its folder has them; its first name alone where the folder is not its own."""
    with contextlib.suppress(ManifestError):
        kept = read(folder)
        if kept.created == record.created:
            return {"name": kept.name, "note": kept.note, "tags": kept.tags}
    return {"name": record.name}


def _content(file: Path) -> bytes:
    """What may be the file's content. What is no file, such as a pipe, might never end."""
    if file.exists() and not file.is_file():
        raise ManifestError(f"its {NAME} cannot be read (it is no file)")
    with file.open("rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ManifestError(f"its {NAME} is too large to be one")
    return content


def _check(recipe: Recipe) -> None:
    """Raises SettingsError for a recipe that runs on no machine."""
    if problems := recipe.contradictions():
        raise SettingsError(problems)


def _check_once(changes: Sequence[Change]) -> None:
    """Raises SettingsError for a setting that changes twice after the same step. Changes are in their order."""
    for one, other in itertools.pairwise(changes):
        if (one.step, one.setting) == (other.step, other.setting):
            told = f"{one.setting} changes twice after step {one.step:,}"
            raise SettingsError([Problem(one.setting, told)])


def _check_change(change: Change, recipe: Recipe, start: int) -> None:
    """Raises SettingsError for a change that a run with this recipe, whose own steps begin at `start`, cannot have."""
    setting, value = change.setting, change.value
    if setting == PACE:
        low, high = PACES
        if value is not None and not (type(value) in (int, float) and low <= value <= high):
            told = f"{PACE} is {show(value)}; it takes a number from {low:f} to {high:,.0f}, or null"
            raise SettingsError([Problem(PACE, told)])
    elif setting == LOST:
        if value is not None:
            raise SettingsError([Problem(LOST, f"{LOST} is {show(value)}; it takes null")])
    elif is_operation(setting):
        if found := problems(recipe, {setting: value}):
            raise SettingsError(found)
    elif setting in MEASURES and change.step >= start and value != value_at(recipe, setting):
        told = f"{setting} is {show(value)} after step {change.step:,}; it takes what the recipe says"
        raise SettingsError([Problem(setting, told)])
    elif change.step >= start or value_at(recipe, setting) is not None:  # its parent may have had other settings
        changed = repeat(recipe, {setting: value})
        if change.step >= start:
            _check(changed)
