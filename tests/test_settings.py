import json
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from dlcore.catalogue.activations import Activation
from dlcore.catalogue.architectures import MLP, Architecture
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Data
from dlcore.catalogue.losses import Loss
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.catalogue.schedules import Schedule
from dlcore.recipe import Recipe
from dlcore.settings import (
    Problem,
    Settings,
    SettingsError,
    Slider,
    accepted,
    bounds,
    choices,
    did_you_mean,
    explanation,
    family_of,
    one_of,
    parse,
    slider_of,
)

FAMILIES = (Activation, Architecture, Data, Loss, Optimizer, Schedule)
CLASSES = [*(cls for family in FAMILIES for cls in choices(family).values()), Augmentation, Recipe]
FIELDS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in CLASSES
    for name in cls.model_fields
    if name != "kind"
]


class Shape(Settings):
    """A family for the tests.

    Not shown.
    """


class Disc(Shape):
    """A round one;
    it has no corners."""

    kind: Literal["disc"] = "disc"
    radius: Annotated[float, Slider(0.1, 5, log=True)] = Field(1.0, gt=0, le=10)


class Box(Shape):
    """A square one."""

    kind: Literal["box"] = "box"
    side: int = Field(2, ge=1, lt=100)
    corner: one_of(Activation) = Field(choices(Activation)["relu"]())


class Frame(Settings):
    """Settings within settings, without a choice."""

    radius: float = Field(1.0, gt=0, le=10)


class Drawing(Settings):
    """Holds every sort of setting that there is."""

    shape: one_of(Shape) = Disc()
    frame: Frame = Frame()
    copies: Annotated[int, Field(ge=1, le=2**31)] | Literal["all"] = 1
    pen: Literal["thin", "thick"] = "thin"
    filled: bool = False
    dashes: tuple[Annotated[int, Field(ge=1, le=9)], ...] = Field((3,), strict=False, min_length=1, max_length=4)
    tilt: float = 0.0


def problems_of(text, cls=Drawing):
    with pytest.raises(SettingsError) as caught:
        parse(cls, text if isinstance(text, str) else json.dumps(text))
    return caught.value.problems


def only_problem_of(text, cls=Drawing):
    (problem,) = problems_of(text, cls)
    assert str(problem) == problem.text
    return problem


def outside(field):
    """Values that a field's bounds do not allow, each with the nearest that they do (None for an open bound)."""
    low, high = bounds(field)
    words = accepted(field)
    if low is not None:
        yield (low, None) if "above" in words else (low - 1, low)
    if high is not None:
        yield (high, None) if "below" in words else (high + 1, high)


# Families


def test_choices_are_all_members_of_a_family_by_kind_in_the_order_of_declaration():
    assert choices(Shape) == {"disc": Disc, "box": Box}
    assert choices(Disc) == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_kinds_are_unique_and_every_member_builds_from_its_kind_alone(family):
    members = choices(family)
    assert len(set(members.values())) == len(members)
    for kind, cls in members.items():
        assert cls().kind == kind
        assert parse(cls, json.dumps({"kind": kind})) == cls()


def test_a_field_knows_its_family_its_slider_and_its_bounds():
    assert family_of(Drawing.model_fields["shape"]) == choices(Shape)
    assert family_of(Drawing.model_fields["copies"]) == {}
    assert slider_of(Disc.model_fields["radius"]) == Slider(0.1, 5, log=True)
    assert slider_of(Box.model_fields["side"]) is None
    assert bounds(Disc.model_fields["radius"]) == (0, 10)
    assert bounds(Box.model_fields["side"]) == (1, 100)
    assert bounds(Drawing.model_fields["copies"]) == (1, 2**31)
    assert bounds(Drawing.model_fields["tilt"]) == (None, None)


def test_an_explanation_is_the_first_paragraph_on_one_line():
    assert explanation(Disc) == "A round one; it has no corners."
    assert explanation(Shape) == "A family for the tests."


@pytest.mark.parametrize(
    ("cls", "name", "words"),
    [
        (Disc, "radius", "a number above 0 and at most 10"),
        (Box, "side", "a whole number of at least 1 and below 100"),
        (Drawing, "copies", "a whole number from 1 to 2147483648, or all"),
        (Drawing, "pen", "thin or thick"),
        (Drawing, "filled", "true or false"),
        (Drawing, "dashes", "a list of 1 to 4 numbers, each a whole number from 1 to 9"),
        (Drawing, "tilt", "a number"),
        (Drawing, "shape", "one of disc, box"),
        (Drawing, "frame", "settings by name"),
    ],
)
def test_what_is_accepted_is_said_in_words(cls, name, words):
    assert accepted(cls.model_fields[name]) == words


@pytest.mark.parametrize(("cls", "name"), FIELDS)
def test_a_slider_shows_only_what_is_allowed(cls, name):
    slider, (low, high) = slider_of(cls.model_fields[name]), bounds(cls.model_fields[name])
    if slider:
        assert slider.low < slider.high
        assert low is None or slider.low >= low
        assert high is None or slider.high <= high
        assert slider.low <= cls.model_fields[name].get_default() <= slider.high or name == "weight_decay"


# Wrong settings


@pytest.mark.parametrize(
    ("given", "setting", "words"),
    [
        ({"copies": 0}, "copies", ["copies is 0", "from 1 to 2147483648, or all", "the nearest is 1."]),
        ({"copies": 3 * 10**9}, "copies", ["is 3000000000", "the nearest is 2147483648."]),
        ({"copies": "al"}, "copies", ["is 'al'", "or all", "did you mean all?"]),
        ({"copies": 1.5}, "copies", ["is 1.5", "a whole number"]),
        ({"copies": "2"}, "copies", ["is '2'", "a whole number", "usual is 1."]),
        ({"copies": True}, "copies", ["is true", "a whole number"]),
        ({"pen": "thick "}, "pen", ["pen is 'thick '", "thin or thick", "did you mean thick"]),
        ({"filled": 1}, "filled", ["filled is 1", "true or false", "usual is false."]),
        ({"filled": "yes"}, "filled", ["filled is 'yes'", "true or false"]),
        ({"dashes": []}, "dashes", ["dashes is []", "1 to 4 numbers", "usual is [3]."]),
        ({"dashes": [1, 2, 3, 4, 5]}, "dashes", ["dashes is [1, 2, 3, 4, 5]", "1 to 4 numbers"]),
        ({"dashes": [1, 12]}, "dashes", ["12", "each a whole number from 1 to 9"]),
        ({"dashes": "3"}, "dashes", ["dashes is '3'", "a list of 1 to 4"]),
        ({"tilt": "steep"}, "tilt", ["tilt is 'steep'", "a number", "usual is 0"]),
        ({"tilt": None}, "tilt", ["tilt is null", "a number"]),
        ({"tlit": 1}, "tlit", ["tlit is not a setting", "shape, frame, copies", "did you mean tilt?"]),
        ({"frame": {"radius": 11}}, "frame.radius", ["frame.radius is 11", "at most 10", "the nearest is 10."]),
        ({"frame": {"radius": 0}}, "frame.radius", ["frame.radius is 0", "above 0", "usual is 1"]),
        ({"frame": 3}, "frame", ["frame is 3", "settings by name"]),
        ({"shape": "box"}, "shape", ["shape is 'box'", "settings by name", '{"kind": "disc"}']),
        ({"shape": {"kind": "bax"}}, "shape.kind", ["'bax'", "one of disc, box", "did you mean box?"]),
        ({"shape": {"kind": None}}, "shape.kind", ["shape.kind is null", "one of disc, box"]),
        ({"shape": {"kind": ["disc"]}}, "shape.kind", ["one of disc, box"]),
        ({"shape": {"radius": 1}}, "shape.kind", ["shape.kind is null", "one of disc, box"]),
        ({"shape": {"kind": "box", "side": 0}}, "shape.side", ["shape.side is 0", "the nearest is 1."]),
        ({"shape": {"kind": "box", "side": 100}}, "shape.side", ["is 100", "below 100", "usual is 2."]),
        ({"shape": {"kind": "box", "sied": 1}}, "shape.sied", ["not a setting", "did you mean side?"]),
        ({"shape": {"kind": "box", "disc": 1}}, "shape.disc", ["shape.disc is not a setting"]),
        ({"shape": {"kind": "disc", "disc": 1}}, "shape.disc", ["shape.disc is not a setting", "radius"]),
        (
            {"shape": {"kind": "box", "corner": {"kind": "leaky-relu", "slope": 2}}},
            "shape.corner.slope",
            ["shape.corner.slope is 2", "from 0 to 1", "the nearest is 1."],
        ),
        (
            {"shape": {"kind": "box", "corner": {"kind": "relu", "slope": 2}}},
            "shape.corner.slope",
            ["not a setting", "one can set nothing"],
        ),
        (
            {"shape": {"kind": "box", "corner": {"kind": "rleu"}}},
            "shape.corner.kind",
            ["shape.corner.kind is 'rleu'", "relu", "did you mean relu"],
        ),
        ({"": 1}, "''", ["'' is not a setting"]),
    ],
)
def test_a_wrong_setting_is_answered_with_its_name_its_value_what_is_accepted_and_the_fix(given, setting, words):
    problem = only_problem_of(given)
    assert problem.setting == setting
    for word in words:
        assert word in problem.text
    assert problem.text[-1] in ".?"


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"tilt": 1,}', "[" * 10000, '{"tilt": 1' + "0" * 5000 + "}"])
def test_what_is_not_json_is_said_to_be_none(text):
    problem = only_problem_of(text)
    assert problem.setting == ""
    assert problem.text.startswith("This is not JSON: ")


@pytest.mark.parametrize("text", ["[]", "null", "3", '"adam"', "true"])
def test_json_that_is_no_object_is_answered_in_words(text):
    problem = only_problem_of(text)
    assert problem.text.startswith(f"Drawing is {text}" if text != '"adam"' else "Drawing is 'adam'")
    assert problem.text.endswith("it takes settings by name.")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_must_be_finite(number):
    problem = only_problem_of('{"tilt": ' + number + "}")
    assert problem.setting == "tilt"
    assert "it takes a number" in problem.text


def test_all_problems_are_told_at_once_each_setting_once():
    given = {
        "copies": 0,
        "pen": "red",
        "colour": 1,
        "dashes": [0, "a", 99],
        "frame": {"radius": -1, "width": 2},
        "shape": {"kind": "box", "side": -3, "corner": {"kind": "elu", "alpha": -1}},
    }
    problems = problems_of(given)
    settings = [problem.setting for problem in problems]
    assert len(settings) == len(set(settings))
    assert set(settings) == {
        *("copies", "pen", "colour", "dashes", "frame.radius", "frame.width", "shape.side", "shape.corner.alpha"),
    }
    assert str(SettingsError(problems)) == "\n".join(problem.text for problem in problems)


def test_a_long_value_is_cut():
    problem = only_problem_of({"tilt": "x" * 10000})
    assert len(problem.text) < 200
    assert "..." in problem.text


@pytest.mark.parametrize(("cls", "name"), FIELDS)
def test_every_bound_of_every_setting_holds_and_its_answer_names_the_nearest_fix(cls, name):
    field = cls.model_fields[name]
    for value, nearest in outside(field):
        problem = only_problem_of({name: value}, cls)
        assert problem.setting == name
        assert problem.text.startswith(f"{name} is {json.dumps(value)}; it takes {accepted(field)}; ")
        if nearest is not None:
            assert parse(cls, json.dumps({name: nearest})).model_dump()[name] == nearest
            assert problem.text.endswith(f"; the nearest is {nearest:.12g}.")


@pytest.mark.parametrize(("cls", "name"), FIELDS)
def test_every_setting_refuses_what_is_of_another_sort(cls, name):
    for value in ("zzz", [[]], {"zzz": 1}):
        (problem, *_) = problems_of({name: value}, cls)
        assert problem.setting.split(".")[0] == name
        assert problem.setting in problem.text


@pytest.mark.parametrize("family", FAMILIES)
def test_a_misspelt_kind_is_answered_with_the_nearest_ones(family):
    for kind in choices(family):
        assert kind in did_you_mean(kind + "x", choices(family))
    assert did_you_mean("qqqqq", choices(family)) == ""


# What settings are


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_settings_are_hashable_immutable_and_equal_by_value(cls):
    one, two = cls(), cls()
    assert one == two
    assert hash(one) == hash(two)
    assert {one: 1}[two] == 1
    for name in cls.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(one, name, getattr(one, name))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_settings_refuse_names_that_they_do_not_know(cls):
    with pytest.raises(ValidationError, match="zzz"):
        cls(zzz=1)


def test_settings_of_different_choices_differ_even_with_the_same_values():
    assert Adam(lr=0.01) != SGD(lr=0.01)
    assert SGD(lr=0.01) == SGD()
    assert hash(SGD(lr=0.02)) != hash(SGD(lr=0.01))


def test_a_list_becomes_a_tuple_so_that_settings_stay_hashable():
    assert parse(MLP, '{"widths": [3, 4]}').widths == (3, 4)
    assert hash(MLP(widths=[3, 4])) == hash(MLP(widths=(3, 4)))


def test_a_problem_reads_as_its_sentence():
    assert str(Problem("a.b", "a.b is wrong.")) == "a.b is wrong."
