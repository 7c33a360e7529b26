"""Contestants: in what the runs of a race differ, as changes by dotted path to the recipe that they share."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from dlcore.catalogue.activations import Activation
from dlcore.catalogue.architectures import Architecture
from dlcore.catalogue.losses import Loss
from dlcore.catalogue.optimizers import Optimizer
from dlcore.catalogue.schedules import Schedule
from dlcore.recipe import Recipe, change, parse_change
from dlcore.recipes import DEFAULT
from dlcore.settings import Problem, Settings, SettingsError, choices
from dlcore.studies.races import names_rate, with_rate
from pages.parts.controls import Editor
from pages.parts.panels import escape
from pages.parts.state.drafts import Draft
from pages.parts.state.tab import keep, remember

Changes = dict[str, Any]

# What may differ: the setting, its family, and the contestants offered at first.
KINDS: dict[str, tuple[str, type[Settings], list[str]]] = {
    "Optimizer": ("optimizer.kind", Optimizer, ["sgd", "adam", "rmsprop", "nadam"]),
    "Activation": ("model.activation.kind", Activation, ["sigmoid", "tanh", "relu", "gelu"]),
    "Architecture": ("model.kind", Architecture, ["linear", "mlp", "cnn"]),
    "Loss": ("loss.kind", Loss, ["cross-entropy", "mse", "mae"]),
    "Schedule": ("schedule.kind", Schedule, ["constant", "cosine", "one-cycle"]),
}
NUMBERS = {
    "Learning rate": ("optimizer.lr", "0.0001, 0.001, 0.01, 0.1"),
    "Batch size": ("batch_size", "16, 64, 256"),
    "Seed": ("seed", "0, 1, 2"),
}
OWN, OWN_FIRST = "Own settings", "A, B"
FREE = "Anything"
FREE_FIRST = "Adam: optimizer=adam\nSGD: optimizer=sgd optimizer.momentum=0.9\nWide: model=mlp model.widths=[512]"
RATES = {"best": "The best of three for each", "same": "The same rate", "own": "Each one's own default"}


class Contestant(NamedTuple):
    """As the topic gives it."""

    place: str  # what its settings are kept under
    name: str
    changes: Changes


class Lineup(NamedTuple):
    """Who races."""

    field: list[tuple[str, Changes]]
    tried: list[str]  # who looks for a learning rate first
    problems: list[Problem]  # what could not be read


def choose_contestants(base: Recipe | None) -> Lineup:
    """Widgets for what differs, who takes part, at which learning rates, and what each sets for itself."""
    topics = [*KINDS, *NUMBERS, OWN, FREE]
    topic = st.selectbox(
        "What differs",
        topics,
        index=topics.index(remember("race/topic", topics[0])),
        help="Everything else is shared: data, first weights, order of the batches, number of epochs. Below, each "
        f"contestant can be given settings of its own. **{OWN}** begins with equal ones; **{FREE}** is written.",
    )
    keep("race/topic", topic)
    chosen, problems = _choose(topic)
    rates = "same" if topic in ("Learning rate", "Seed") else _choose_rates()
    field, tried = [], []
    for one in chosen if base else []:
        try:
            changes = with_rate(base, one.changes, "same" if rates == "same" else "own")
            start = change(base, changes)
        except SettingsError:  # the race tells, with all its problems
            field.append((one.name, one.changes))
            continue
        tries = rates == "best" and not names_rate(one.changes)
        own, sets_rate = _settings(topic, one, start)
        field.append(
            (one.name, {path: value for path, value in changes.items() if path.split(".")[0] not in own} | own)
        )
        if tries and not sets_rate:
            tried.append(one.name)
    return Lineup(field, tried, problems)


def _choose(topic: str) -> tuple[list[Contestant], list[Problem]]:
    """The contestants as the topic gives them, and what could not be read of them."""
    if topic in KINDS:
        path, family, first = KINDS[topic]
        kinds = choices(family)
        picked = _pick(topic, kinds, first)
        return [Contestant(f"{topic}/{kind}", kinds[kind].title, {path: kind}) for kind in picked], []
    if topic == OWN:
        about = "The names of those who race, with commas between. What they set is chosen below."
        names = _text(st.text_input, topic, "Contestants", OWN_FIRST, about).split(",")
        names = [name.strip() for name in names if name.strip()]
        return [Contestant(f"{topic}/{place}", name, {}) for place, name in enumerate(names)], []
    if topic in NUMBERS:
        path, first = NUMBERS[topic]
        values = _text(st.text_input, topic, "Contestants", first, "The values that race, with commas between.")
        lines = [f"{topic} {value.strip()}: {path}={value.strip()}" for value in values.split(",") if value.strip()]
        return _read(topic, lines)
    lines = _text(
        st.text_area,
        topic,
        "Contestants",
        FREE_FIRST,
        "A contestant a line: its name, a colon, and what it changes, as on the command line.",
    )
    return _read(topic, [line for line in lines.splitlines() if line.strip()])


def _choose_rates() -> str:
    about = (
        "A learning rate that suits one contestant may not suit another, and would decide the race.  \n"
        "**The best of three**: each tries its own, a tenth and ten times of it, on a fifth of the epochs.  \n"
        "**The same**: that of the recipe.  \n**Own default**: what its optimizer begins with.  \n"
        "Whoever is given a rate below keeps it."
    )
    rates = st.selectbox(
        "Learning rates",
        list(RATES),
        index=list(RATES).index(remember("race/rates", "best")),
        format_func=RATES.get,
        help=about,
    )
    keep("race/rates", rates)
    return rates


def _settings(topic: str, one: Contestant, start: Recipe) -> tuple[Changes, bool]:
    """A contestant's own settings, behind a fold: what it changes besides (whole choices), and whether its learning
    rate is among that. `start` is its recipe without them.
    """
    key, values = f"race/own/{one.place}", start.model_dump(mode="json")
    held = remember(key, None)
    if held and held.start != values:
        merged = _merged(held.start, held.values, values)
        held.take_values(DEFAULT, values)
        held.values = merged
    # Its label stays the same whatever is set within: with another one it would be another fold, and closed.
    with st.expander(escape(one.name), key=f"{key}/fold", type="compact", on_change="rerun") as fold:
        if fold.open:
            if held is None:
                held = Draft(key, DEFAULT, {}, {})
                held.take_values(DEFAULT, values)
                keep(key, held)
            _edit(held, KINDS[topic][0].removesuffix(".kind") if topic in KINDS else "")
            original = (DEFAULT, copy.deepcopy(held.start))
            about = "Without what was changed here."
            st.button(
                "Reset",
                key=f"{key}/reset",
                on_click=held.take_values,
                args=original,
                disabled=held.values == held.start,
                help=about,
            )
    own = {part: value for part, value in held.values.items() if value != held.start[part]} if held else {}
    return copy.deepcopy(own), bool(held) and _sets_rate(held)


def _edit(held: Draft, topic: str) -> None:
    """All that a contestant may set for itself; what the race is about is chosen already."""
    edit = Editor(held)
    for path, apart in (("model", ("activation",)), ("model.activation", ()), ("loss", ()), ("optimizer", ("lr",))):
        if path == topic:
            edit.fields(path, apart)
        elif path != "model.activation" or "activation" in held.values["model"]:
            edit.choice(path, apart)
    edit.field("optimizer.lr")
    if topic == "schedule":
        edit.fields("schedule")
    else:
        edit.choice("schedule")
    edit.field("batch_size")
    edit.field("seed")


def _sets_rate(held: Draft) -> bool:
    """Whether its rate was given by hand; another optimizer comes with one of its own."""
    before, now = held.start["optimizer"], held.values["optimizer"]
    usual = before["lr"] if now["kind"] == before["kind"] else choices(Optimizer)[now["kind"]]().lr
    return now["lr"] != usual


def _merged(before: Any, edited: Any, start: Any) -> Any:
    """What was edited before, on another start: of what is of one kind still, only what was edited."""
    settings = all(isinstance(one, Mapping) for one in (before, edited, start))
    if settings and before.get("kind") == edited.get("kind") == start.get("kind"):
        return {name: _merged(before.get(name), edited.get(name), start[name]) for name in start}
    return start if edited == before else edited


def _pick(topic: str, kinds: dict[str, type[Settings]], first: list[str]) -> list[str]:
    picked = st.multiselect(
        "Contestants",
        list(kinds),
        default=remember(f"race/{topic}", first),
        key=f"race/pick/{topic}",
        format_func=lambda kind: kinds[kind].title,
        help="Two to eight take part.",
    )
    keep(f"race/{topic}", picked)
    return picked


def _text(make, topic: str, label: str, first: str, help: str) -> str:
    text = make(label, value=remember(f"race/{topic}", first), key=f"race/text/{topic}", help=help)
    keep(f"race/{topic}", text)
    return text


def _read(topic: str, lines: list[str]) -> tuple[list[Contestant], list[Problem]]:
    """A contestant a line, `name: setting=value setting=value`; without a colon the changes are the name."""
    found, problems = [], []
    for line in lines:
        name, _, words = line.partition(":") if ":" in line else (line, "", line)
        try:
            changes = dict(parse_change(word) for word in words.split())
            again = sum(one.name == name.strip() for one in found)  # which the race refuses
            found.append(Contestant(f"{topic}/{again}/{name.strip()}", name.strip(), changes))
        except SettingsError as error:
            problems += error.problems
    return found, problems
