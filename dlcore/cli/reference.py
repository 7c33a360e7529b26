"""What there is to choose from: the named recipes, and every setting that `--set` can change."""

import argparse
from collections.abc import Iterator

from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import Settings, accepted, explanation, family_of


def show_recipes(options: argparse.Namespace) -> int:
    width = max(map(len, RECIPES))
    for name, named in RECIPES.items():
        print(f"{name:{width}}  {named.about}")
    return 0


def show_settings(options: argparse.Namespace) -> int:
    print(*_reference("", Recipe), sep="\n")
    return 0


def _reference(prefix: str, settings: type[Settings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        path = f"{prefix}{name}"
        if kinds := family_of(field):
            yield f"\n{path}.kind: {field.title}. {field.description}"
            for kind, choice in kinds.items():
                yield f"  {path}.kind={kind}: {explanation(choice)}"
                yield from (f"    {line.strip()}" for line in _reference(f"{path}.", choice))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _reference(f"{path}.", field.annotation)
        elif name != "kind":
            yield f"{path}: {accepted(field)}. {field.description}"
