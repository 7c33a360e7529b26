"""Settings: the base of every choice that a person makes, and the words in which a wrong one is answered.

A choice (an optimizer, a data set, …) is a frozen pydantic model with a `kind`; its siblings are the subclasses
of one family. Bounds say what is *allowed*; `Slider` says what a slider *shows*. `accepted` phrases the bounds
once, for the help, the reference page and the error.
"""

import difflib
import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo


class Settings(BaseModel):
    """What a person sets: immutable, hashable, strict, JSON both ways. Unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    title: ClassVar[str] = ""  # what a person reads; `kind` is what a file says


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Slider:
    """The range that a slider offers, narrower than what is allowed, and its step where a hundredth is too coarse."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Problem:
    """One thing that keeps a recipe from running. `setting` is a dotted path, `text` one sentence for people; `fix`
    holds values by dotted path that end it, where a few do.
    """

    setting: str
    text: str
    fix: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.text


class SettingsError(ValueError):
    """Settings that cannot be used; carries every problem at once."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def choices(family: type[Settings]) -> dict[str, type[Settings]]:
    """The members of a family by kind, in the order in which they are declared."""
    found = {}
    for member in family.__subclasses__():
        if "kind" in member.model_fields:
            found[member.model_fields["kind"].default] = member
        found |= choices(member)
    return found


def one_of(family: type[Settings]) -> Any:
    """The type of a field that holds any member of a family, told apart by `kind`."""
    return Annotated[Union[tuple(choices(family).values())], Field(discriminator="kind")]  # noqa: UP007


def family_of(field: FieldInfo) -> dict[str, type[Settings]]:
    """The kinds that a field accepts, or nothing when it is not a choice."""
    options = [option for option, _ in _options(field.annotation) if "kind" in getattr(option, "model_fields", ())]
    return {option.model_fields["kind"].default: option for option in options}


def slider_of(field: FieldInfo) -> Slider | None:
    return next((mark for mark in field.metadata if isinstance(mark, Slider)), None)


def explanation(choice: type[Settings]) -> str:
    """The first paragraph of a choice's docstring: the line that every list of choices shows."""
    return " ".join((choice.__doc__ or "").split("\n\n")[0].split())


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean adam?`, or nothing when no name is near."""
    near = difflib.get_close_matches(str(word), list(known), n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Lowest and highest allowed number, exclusive or not."""
    marks = [mark for _, marks in _options(field.annotation, field.metadata) for mark in marks]
    low = next((getattr(mark, "ge", getattr(mark, "gt", None)) for mark in marks if isinstance(mark, Ge | Gt)), None)
    high = next((getattr(mark, "le", getattr(mark, "lt", None)) for mark in marks if isinstance(mark, Le | Lt)), None)
    return low, high


def accepted(field: FieldInfo) -> str:
    """What a field takes, in words: `a number above 0 and at most 10`."""
    if kinds := family_of(field):
        return f"one of {', '.join(kinds)}"
    return ", or ".join(_accepted_by(option, marks) for option, marks in _options(field.annotation, field.metadata))


def parse(cls: type[S], text: str) -> S:
    """Settings from JSON text. Raises SettingsError with every problem, each in words."""
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        raise SettingsError(explain(error, cls)) from None


def explain(error: ValidationError, cls: type[Settings]) -> list[Problem]:
    """Pydantic's errors as sentences that name the setting, the value, what is accepted and the nearest fix."""
    found = {}
    for detail in error.errors(include_url=False):
        problem = _explain_one(detail, cls)
        found.setdefault(problem.setting, problem)  # a union reports each of its members; one sentence is enough
    return list(found.values())


def _explain_one(detail: dict, cls: type[Settings]) -> Problem:
    path, field, owner = _resolve(detail["loc"], cls)
    kind, value = detail["type"], detail["input"]
    if kind == "json_invalid":
        return Problem("", f"This is not JSON: {detail['ctx']['error']}.")
    if field is None and kind == "extra_forbidden":
        known = [name for name in owner.model_fields if name != "kind"]
        nearest = did_you_mean(path.rsplit(".", 1)[-1], known) or "."
        return Problem(path, f"{path} is not a setting; here one can set {', '.join(known) or 'nothing'}{nearest}")
    if field is None:
        return Problem(path, f"{path or cls.__name__} is {show(value)}; it takes settings by name.")
    if (kinds := family_of(field)) and isinstance(value, dict):
        given = value.get("kind")
        nearest = did_you_mean(given, kinds) or "."
        return Problem(f"{path}.kind", f"{path}.kind is {show(given)}; it takes {accepted(field)}{nearest}")
    if kinds:
        text = f'{path} is {show(value)}; it takes settings by name, such as {{"kind": "{next(iter(kinds))}"}}.'
        return Problem(path, text)
    text = f"{path} is {show(value)}; it takes {accepted(field)}{_nearest(field, kind, value)}"
    return Problem(path, text if text.endswith("?") else text + ".")


def _nearest(field: FieldInfo, kind: str, value: object) -> str:
    low, high = bounds(field)
    if kind == "greater_than_equal" and low is not None:
        return f"; the nearest is {low:.12g}"
    if kind == "less_than_equal" and high is not None:
        return f"; the nearest is {high:.12g}"
    words = [
        word for option, _ in _options(field.annotation) if get_origin(option) is Literal for word in get_args(option)
    ]
    if near := did_you_mean(value, map(str, words)):
        return near
    default = field.get_default(call_default_factory=True)
    return "" if isinstance(default, Settings) else f"; usual is {show(default)}"


def _resolve(loc: tuple, cls: type[Settings]) -> tuple[str, FieldInfo | None, type[Settings]]:
    """Dotted path, field and owner that an error's location means; pydantic puts union tags into locations."""
    names, field, owner = [], None, cls
    for part in loc:
        if field is not None:
            kinds = family_of(field)
            if part in kinds and owner not in kinds.values():
                owner = kinds[part]
                continue
            nested = field.annotation if isinstance(field.annotation, type) else None
            if not kinds and not (nested and issubclass(nested, Settings)):
                break  # a member of a plain union, or an item of a list: the field itself is meant
            owner = owner if kinds else nested
        names.append(str(part) or "''")
        field = owner.model_fields.get(part)
        if field is None:
            break
    return ".".join(names), field, owner


def _options(annotation: Any, marks: Iterable = ()) -> list[tuple[Any, list]]:
    """The members of a union, each with what its annotations say of it."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        more = [mark for item in more for mark in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return _options(inner, [*marks, *more])
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for member in get_args(annotation) for found in _options(member, marks)]
    return [(annotation, list(marks))]


def _accepted_by(option: Any, marks: list) -> str:
    if get_origin(option) is Literal:
        return " or ".join(str(value) for value in get_args(option))
    if option is bool:
        return "true or false"
    if get_origin(option) is tuple:
        lengths = [
            getattr(mark, name) for mark in marks for name in ("min_length", "max_length") if hasattr(mark, name)
        ]
        item = _accepted_by(*_options(get_args(option)[0])[0])
        return f"a list of {' to '.join(map(str, lengths))} numbers, each {item}"
    if option in (int, float):
        return " ".join(["a whole number" if option is int else "a number", *_range(marks)])
    return "settings by name"


def _range(marks: list) -> list[str]:
    words = {Gt: "above", Ge: "of at least", Lt: "below", Le: "at most"}
    found = [(words[type(mark)], getattr(mark, type(mark).__name__.lower())) for mark in marks if type(mark) in words]
    if [word for word, _ in found] == ["of at least", "at most"]:
        return [f"from {found[0][1]:.12g} to {found[1][1]:.12g}"]
    return [" and ".join(f"{word} {value:.12g}" for word, value in found)] if found else []


def show(value: object) -> str:
    """A value as a sentence quotes it, cut when it is long."""
    value = list(value) if isinstance(value, tuple) else value
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
