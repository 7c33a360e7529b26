"""Controls: a field of a settings class becomes a widget. The only such mapping.

Values go in and come out as plain JSON values, so that what is not valid yet can be held, and be told about by
`dlcore.recipe.read` in the same words as everywhere.
"""

import contextlib
import copy
import json
import math
from collections.abc import Callable, Collection
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from dlcore.catalogue import devices
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import Settings, SettingsError, accepted, explanation, family_of, parse, slider_of
from pages.parts.problems import Place
from pages.parts.sketches import sketch
from pages.parts.state.drafts import Draft
from pages.parts.state.process import engine_is_here
from pages.parts.state.tab import widget

BATCHES = ("all", 8, 16, 32, 64, 128, 256, 512)


def choose_named(draft: Draft) -> None:
    """The select box that starts a draft from a named recipe."""
    key = f"{draft.page}/recipe/{draft.links}"  # without the generation: the box itself stays, and keeps the focus
    about = "  \n".join(f"**{name}**: {named.about}" for name, named in RECIPES.items())
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        st.selectbox(
            "Recipe",
            list(RECIPES),
            index=list(RECIPES).index(draft.name),
            key=key,
            on_change=lambda: draft.start_from(widget(key)),
            help=f"A run that works, to start from; change anything below afterwards.  \n{about}",
        )
        st.button(
            ":material/undo: Reset",
            key=f"{key}/icon",
            on_click=lambda: draft.start_from(draft.name),
            help="Back to the recipe as it is named, without your changes.",
        )


def edit_recipe(draft: Draft) -> list[Place]:
    """All settings of a recipe, what people use most first; the draft takes what is chosen. Returns the places below
    them, for what is to be said of them.
    """
    edit, places = Editor(draft), []

    def below(title: str, *paths: str) -> None:
        places.append(Place(title, paths, st.empty()))

    edit.choice("data")
    below("Data", "data")
    edit.choice("model", apart=("activation",))
    below("Architecture", "model")
    if "activation" in draft.values["model"]:
        edit.choice("model.activation")
        below("Activation", "model.activation")
    edit.choice("optimizer", apart=("lr",))
    below("Optimizer", "optimizer")
    edit.field("optimizer.lr")
    below("Learning rate", "optimizer.lr")
    left, right = st.columns(2)
    with left:
        edit.field("epochs")
    with right:
        edit.field("batch_size")
    below("Epochs and batch size", "epochs", "batch_size")
    with st.expander("Loss and schedule"):
        edit.choice("loss")
        edit.choice("schedule")
    below("Loss and schedule", "loss", "schedule")
    with st.expander("Augmentation"):
        edit.fields("augmentation")
    below("Augmentation", "augmentation")
    with st.expander("Ending early"):
        edit.fields("stop")
    below("Ending early", "stop")
    with st.expander("Seed, device, precision"):
        for name in ("seed", "device", "precision"):
            edit.field(name)
    below("Seed, device, precision", "seed", "device", "precision")
    return places


class Editor:
    """Widgets for the settings of one draft, by dotted path; each reads from the draft and writes back to it."""

    def __init__(self, draft: Draft):
        self._draft = draft

    def choice(self, path: str, apart: Collection[str] = ()) -> None:
        """A select box for a choice's kind; its own settings, but for those shown `apart`, unfold beside it."""
        field, place = self._find(path)
        name = path.rsplit(".", 1)[-1]
        kinds = family_of(field)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
            kind = self._widget(
                st.selectbox,
                f"{path}.kind",
                field.title,
                list(kinds),
                index=list(kinds).index(place[name]["kind"]),
                format_func=lambda kind: kinds[kind].title,
                help="  \n".join([field.description, *(f"**{c.title}**: {explanation(c)}" for c in kinds.values())]),
            )
            if kind != place[name]["kind"]:
                start = self._at(self._draft.start, path)
                known = start and start.get("kind") == kind
                place[name] = copy.deepcopy(start) if known else kinds[kind]().model_dump(mode="json")
            titles = [inner.title for name, inner in kinds[kind].model_fields.items() if name not in ("kind", *apart)]
            with contextlib.suppress(SettingsError):  # what is not valid yet has no picture
                sketch(parse(kinds[kind], json.dumps(place[name])))
            with st.popover(
                f":material/tune: {field.title} settings",
                disabled=not titles,
                help=f"{field.title}: {', '.join(titles).lower() or 'nothing more to set'}",
                key=f"{self._draft.page}/{path}/icon",
            ):
                self.fields(path, apart)

    def fields(self, path: str, apart: Collection[str] = ()) -> None:
        for name in self._owner(path).model_fields:
            if name not in ("kind", *apart):
                self.field(f"{path}.{name}")

    def field(self, path: str) -> None:
        """One number, word, list or switch."""
        field, place = self._find(path)
        name = path.rsplit(".", 1)[-1]
        start = self._at(self._draft.start, path)
        help = f"{field.description} Takes {accepted(field)}."
        make, arguments, back = _widget_for(name, field, place[name], start)
        place[name] = back(self._widget(make, path, field.title, help=help, **arguments))

    def _widget(self, make: Callable, path: str, *arguments: Any, **keywords: Any) -> Any:
        owner = path.rsplit(".", 1)[0]
        kind = self._at(self._draft.values, owner) if not path.endswith("kind") else None
        scope = kind.get("kind", "") if isinstance(kind, dict) else ""
        return make(*arguments, key=f"{self._draft.page}/{self._draft.generation}/{path}/{scope}", **keywords)

    def _find(self, path: str) -> tuple[FieldInfo, dict]:
        *parents, name = path.split(".")
        return self._owner(".".join(parents)).model_fields[name], self._at(self._draft.values, ".".join(parents))

    def _owner(self, path: str) -> type[Settings]:
        """The settings class that stands at a path of the draft."""
        owner: type[Settings] = Recipe
        for depth, name in enumerate(path.split(".") if path else [], 1):
            field = owner.model_fields[name]
            kinds = family_of(field)
            values = self._at(self._draft.values, ".".join(path.split(".")[:depth]))
            owner = kinds[values["kind"]] if kinds else field.annotation
        return owner

    @staticmethod
    def _at(values: dict, path: str) -> Any:
        for name in path.split(".") if path else []:
            values = values.get(name) if isinstance(values, dict) else None
        return values


def _widget_for(name: str, field: FieldInfo, value: Any, start: Any) -> tuple[Callable, dict, Callable]:
    """The widget that fits a field, its arguments, and how its answer becomes a JSON value again."""
    slider, same = slider_of(field), lambda answer: answer
    if name == "device":
        options = list(dict.fromkeys([*(devices.available() if engine_is_here() else ()), value]))
        return st.selectbox, {"options": options, "index": options.index(value), "format_func": _device}, same
    if name == "batch_size":
        options = list(dict.fromkeys([*BATCHES, value]))
        arguments = {"options": options, "index": options.index(value), "accept_new_options": True}
        return st.selectbox, arguments | {"format_func": str}, _number_or_word
    if get_origin(field.annotation) is Literal:
        options = list(get_args(field.annotation))
        return st.selectbox, {"options": options, "index": options.index(value)}, same
    if field.annotation is bool:
        return st.toggle, {"value": value}, same
    if get_origin(field.annotation) is tuple:
        text = value if isinstance(value, str) else ", ".join(map(str, value))
        return st.text_input, {"value": text}, _numbers
    whole = field.annotation is int
    if slider is None:
        step, form = (1, "%d") if whole else (None, "%g")
        return st.number_input, {"value": value, "step": step, "format": form}, same
    if slider.log:
        kind = int if whole else float
        options = sorted({*map(kind, _ladder(slider.low, slider.high)), kind(value), *([kind(start)] if start else [])})
        return st.select_slider, {"options": options, "value": kind(value), "format_func": "{:g}".format}, same
    low, high = min(slider.low, value), max(slider.high, value)
    if whole:
        return st.slider, {"min_value": int(low), "max_value": int(high), "value": value, "step": 1}, same
    step = slider.step or 10.0 ** math.floor(math.log10((slider.high - slider.low) / 50))
    arguments = {"min_value": float(low), "max_value": float(high), "value": float(value), "step": step}
    return st.slider, arguments | {"format": f"%.{max(0, round(-math.log10(step)))}f"}, lambda answer: round(answer, 9)


def _ladder(low: float, high: float) -> list[float]:
    """1, 2, 3, 5, 10, … between two numbers; a range from 0 begins with 0 and reaches five tens down."""
    lowest = low or high * 1e-5
    tens = range(math.floor(math.log10(lowest)), math.ceil(math.log10(high)) + 1)
    steps = [float(f"{digit}e{ten}") for ten in tens for digit in (1, 2, 3, 5)]
    return [*([0.0] if low == 0 else []), *(step for step in steps if lowest * 0.999 <= step <= high * 1.001)]


def _device(name: str) -> str:
    return devices.TITLES[name]


def _number_or_word(answer: int | str) -> int | str:
    return int(answer) if isinstance(answer, str) and answer.strip().isdecimal() else answer


def _numbers(text: str) -> list[int] | str:
    """`128, 64` as a list; what is not whole numbers stays text, for the problem list to tell."""
    parts = [part for part in text.replace(",", " ").split() if part]
    return [int(part) for part in parts] if all(part.isdecimal() for part in parts) else text
