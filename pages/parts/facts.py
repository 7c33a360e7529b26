"""Facts: recipes as compact tables of plain HTML. What they hold may come from outside, so all of it is escaped."""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from dlcore.history import Epoch
from dlcore.recipe import Recipe, value_at
from dlcore.runs.records import Record
from dlcore.settings import Settings


class Setting(NamedTuple):
    """One setting of a recipe; a choice itself is a setting, and so is each of its own."""

    path: str  # dotted
    choice: str  # the title of the choice that it belongs to, or is; empty for what stands alone
    title: str
    value: Any


def settings_of(settings: Settings, prefix: str = "", choice: str = "") -> Iterator[Setting]:
    """Everything that a recipe sets, in the order of the controls."""
    for name, field in type(settings).model_fields.items():
        value, path = getattr(settings, name), f"{prefix}{name}"
        if isinstance(value, Settings) and "kind" in type(value).model_fields:
            yield Setting(path, field.title, field.title, value.title)
            yield from settings_of(value, f"{path}.", field.title)
        elif isinstance(value, Settings):
            within = settings_of(value, f"{path}.", "")
            yield from (one._replace(title=f"{field.title}: {one.title.lower()}") for one in within)
        elif name != "kind":
            yield Setting(path, choice, field.title or name, value)


def facts(recipe: Recipe) -> str:
    """A recipe in columns, a block for each choice; rules for its end and changes of pictures only if there are any."""
    blocks: dict[str, list[Setting]] = {}
    for one in settings_of(recipe):
        if not (one.path.startswith(("augmentation.", "stop.")) and one.value == value_at(Recipe(), one.path)):
            blocks.setdefault(one.choice, []).append(one)
    blocks[""] = blocks.pop("", [])  # what stands alone comes last
    lists = "".join(f"<dl>{''.join(map(_fact, block))}</dl>" for block in blocks.values())
    return f'<div class="facts">{lists}</div>'


def difference(recipes: Sequence[Recipe]) -> list[list[str]]:
    """A row for every setting in which recipes differ: its title, then its value in each; `–` where it has none."""
    known = [{one.path: one for one in settings_of(recipe)} for recipe in recipes]
    every = {path: one for settings in reversed(known) for path, one in settings.items()}
    order, choices = list(Recipe.model_fields), [one.choice for settings in known for one in settings.values()]
    rows = []
    for one in sorted(every.values(), key=lambda one: (order.index(one.path.split(".")[0]), choices.index(one.choice))):
        values = [text(settings[one.path].value) if one.path in settings else "–" for settings in known]
        if len(set(values)) > 1:
            rows.append([_title(one), *values])
    return rows


def news(recipes: Sequence[Recipe], before: Sequence[Recipe]) -> list[str]:
    """What recipes have in common that was otherwise before: `Data: Two moons instead of Digits`."""
    now, then = ([{one.path: one for one in settings_of(recipe)} for recipe in group] for group in (recipes, before))
    found = []
    for path, one in now[0].items():
        if all(path in settings for settings in [*now, *then]):
            values, others = (list(dict.fromkeys(text(known[path].value) for known in group)) for group in (now, then))
            if len(values) == 1 and others != values:
                found.append(f"{_title(one)}: {values[0]} instead of {' or '.join(others)}")
    return found


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    found = f'<table class="standings"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{found}</div>'


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.12g}"
    return ", ".join(map(text, value)) if isinstance(value, tuple) else str(value)


def size(count: float) -> str:
    """Bytes in words: `1.2 MB`."""
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def _title(one: Setting) -> str:
    return one.title if one.choice in ("", one.title) else f"{one.choice}: {one.title.lower()}"


def _fact(one: Setting) -> str:
    inner = "" if one.choice in ("", one.title) else ' class="inner"'
    title, value = html.escape(one.title), html.escape(text(one.value))
    return f'<dt{inner} title="{html.escape(one.path)}">{title}</dt><dd>{value}</dd>'


def csv(run: Record) -> str:
    """Every epoch of a run."""
    import pandas as pd

    return pd.DataFrame(run.history.rows(), columns=[column.name for column in fields(Epoch)]).to_csv(index=False)
