"""Contestants: in what the runs of a race differ, as changes by dotted path to the recipe that they share."""

from typing import Any

import streamlit as st

from dlcore.activations import Activation
from dlcore.architectures import Architecture
from dlcore.losses import Loss
from dlcore.optimizers import Optimizer
from dlcore.recipe import parse_change
from dlcore.schedules import Schedule
from dlcore.settings import Problem, Settings, SettingsError, choices
from pages.parts.session import keep, remember

Changes = list[tuple[str, dict[str, Any]]]  # a contestant's name, and what it changes

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
FREE = "Anything"
FREE_FIRST = "Adam: optimizer=adam\nSGD: optimizer=sgd optimizer.momentum=0.9\nWide: model=mlp model.widths=[512]"


def choose_contestants() -> tuple[Changes, list[Problem]]:
    """Widgets for what differs and who takes part; with the contestants, what could not be read of them."""
    topics = [*KINDS, *NUMBERS, FREE]
    topic = st.selectbox(
        "What differs",
        topics,
        index=topics.index(remember("race/topic", topics[0])),
        help="Everything else is shared: data, first weights, order of the batches, number of epochs.",
    )
    keep("race/topic", topic)
    if topic in KINDS:
        path, family, first = KINDS[topic]
        kinds = choices(family)
        return [(kinds[kind].title, {path: kind}) for kind in _pick(topic, kinds, first)], []
    if topic in NUMBERS:
        path, first = NUMBERS[topic]
        values = _text(st.text_input, topic, "Contestants", first, "The values that race, with commas between.")
        lines = [f"{topic} {value.strip()}: {path}={value.strip()}" for value in values.split(",") if value.strip()]
        return _read(lines)
    lines = _text(
        st.text_area,
        topic,
        "Contestants",
        FREE_FIRST,
        "A contestant a line: its name, a colon, and what it changes, as on the command line.",
    )
    return _read([line for line in lines.splitlines() if line.strip()])


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


def _read(lines: list[str]) -> tuple[Changes, list[Problem]]:
    """A contestant a line, `name: setting=value setting=value`; without a colon the changes are the name."""
    changes, problems = [], []
    for line in lines:
        name, _, words = line.partition(":") if ":" in line else (line, "", line)
        try:
            changes.append((name.strip(), dict(parse_change(word) for word in words.split())))
        except SettingsError as error:
            problems += error.problems
    return changes, problems
