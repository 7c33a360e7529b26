"""Sharing: a recipe as the parameters of a link, and back.

A link is made by anyone: whatever it says, reading it gives a whole recipe and one sentence for each parameter that
could not be taken. Settings are found by the fields of `Recipe`, so that one that is added there can be shared.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import Problem, Settings, did_you_mean, explain, family_of

LONGEST = 60  # letters of a name that a sentence quotes
NAMED = "recipe"  # the parameter for the named recipe that this one started from


def to_link(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a link to a recipe that started from a named one, which it tells where it isn't the nearest."""
    query = to_query(values)
    return query if nearest_named(values) == name else {NAMED: name} | query


def from_link(link: Mapping[str, str]) -> tuple[str, dict, list[Problem]]:
    """The named recipe that a link starts from, a recipe's plain dict, and what cannot be taken of the link.

    What a link leaves out is as in the recipe that it names; if it names none, the name is that of the nearest.
    """
    query = dict(link)
    name = query.pop(NAMED, None)
    start = RECIPES[name].recipe if name in RECIPES else Recipe()
    values, problems = from_query(query, start)
    if name in RECIPES:
        return name, values, problems
    if name is not None:
        quoted = _clean(name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}...")
        told = f"recipe is {quoted!r}; it takes one of {', '.join(RECIPES)}{did_you_mean(quoted, RECIPES)}"
        problems.insert(0, Problem(NAMED, told if told.endswith("?") else f"{told}."))
    return nearest_named(values), values, problems


def to_query(values: Mapping[str, Any]) -> dict[str, str]:
    """A recipe's plain dict as dotted names and readable values: `{"model": "mlp", "model.widths": "16,16", …}`.

    A choice's kind stands at the choice itself. Values that are not valid (yet) are written as they are.
    """
    query = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            query |= {name: _write(value["kind"])} if "kind" in value else {}
            inside = to_query({inner: held for inner, held in value.items() if inner != "kind"})
            query |= {f"{name}.{inner}": text for inner, text in inside.items()}
        else:
            query[name] = _write(value)
    return query


def from_query(query: Mapping[str, str], start: Recipe | None = None) -> tuple[dict, list[Problem]]:
    """A recipe's plain dict from what can be taken of settings in text, and what cannot.

    What is left out is as in `start`, or else has its default, as in a file. Settings that do not fit together stay as
    they are: `Recipe.problems` tells of them.
    """
    asked = {_clean(name): _clean(text) for name, text in query.items()}
    kinds: dict[str, str | None] = {}
    problems: list[Problem] = []
    values = _take(start or Recipe(), "", asked, kinds, problems)
    for name in asked:  # what no setting has taken
        parts = (name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}...").split(".")
        depth = max(depth for depth in range(len(parts)) if ".".join(parts[:depth]) in kinds)
        problems.append(_problem(".".join(parts[:depth]), ".".join(parts[depth:]), "", kinds))
    return Recipe.model_validate_json(json.dumps(values)).model_dump(mode="json"), problems


def is_setting(name: str) -> bool:
    """Whether a parameter of this name is the recipe's to set and to remove; others are for others."""
    return name == NAMED or name.split(".")[0] in Recipe.model_fields


def nearest_named(values: Mapping[str, Any]) -> str:
    """The named recipe that differs from these values in the fewest settings."""
    wanted = to_query(values).items()
    named = {name: to_query(each.recipe.model_dump(mode="json")).items() for name, each in RECIPES.items()}
    return min(named, key=lambda name: len(named[name] ^ wanted))


def _take(start: Settings, path: str, asked: dict[str, str], kinds: dict, problems: list[Problem]) -> dict:
    """The settings that stand at a path: as in `start`, but for those that are asked for and can be had.

    What it reads is removed from `asked`; `kinds` learns which paths hold settings, and of what kind.
    """
    kinds[path] = getattr(start, "kind", None)
    values = {}
    for name, field in type(start).model_fields.items():
        value = getattr(start, name)
        here = f"{path}.{name}" if path else name
        text = None if name == "kind" else asked.pop(here, None)
        if members := family_of(field):
            text = asked.pop(f"{here}.kind", text)  # as the command line says it
            if text in members:
                value = members[text]()
            elif text is not None:
                problems.append(_problem(path, name, {"kind": text}, kinds))
        elif text is not None:
            readings = _readings(text, value)
            wrong = [_problem(path, name, reading, kinds) for reading in readings]
            if None in wrong:
                value = readings[wrong.index(None)]
            else:
                problems.append(wrong[0])
        values[name] = _take(value, here, asked, kinds, problems) if isinstance(value, Settings) else value
    return values


def _problem(owner: str, name: str, value: Any, kinds: Mapping[str, str | None]) -> Problem | None:
    """What is wrong with a recipe in which only this setting of the owner at a path is set."""
    settings = {name: value}
    while owner:
        kind = kinds[owner]
        owner, _, last = owner.rpartition(".")
        settings = {last: settings | ({"kind": kind} if kind else {})}
    try:
        Recipe.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        return explain(error, Recipe)[0]
    return None


def _readings(text: str, usual: Any) -> list:
    """What a text may mean for a setting whose usual value is this one, the likeliest first."""
    if isinstance(usual, tuple):
        return [[_scalar(part) for part in text.replace(",", " ").split()]]
    return list(dict.fromkeys([_scalar(text), text]))


def _scalar(text: str) -> Any:
    """A number, true or false where the text is one, else the text."""
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        if not isinstance(value, list | dict | str):
            return value
    return text


def _write(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_write, value))
    return value if isinstance(value, str) else json.dumps(value, default=str).removesuffix(".0")


def _clean(text: str) -> str:
    """Without halves of letters, which JSON cannot hold."""
    return text.encode(errors="replace").decode()
