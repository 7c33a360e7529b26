"""Sketches: a small picture of what a choice means, beside it."""

import base64
import functools
from collections.abc import Sequence

import streamlit as st

from dlcore.catalogue.activations import Activation
from dlcore.catalogue.schedules import Schedule
from dlcore.settings import Settings
from pages.parts.state.process import engine_is_here

SIDE, MARGIN = 36, 3  # pixels
REACH = 3.0  # inputs of an activation, to both sides of 0
POINTS = 41
EPOCHS, PER_EPOCH = 10, 10  # of the run whose schedule is drawn


def sketch(choice: Settings) -> None:
    """The curve of an activation, the course of a schedule; nothing for what has none."""
    if isinstance(choice, Schedule) or (isinstance(choice, Activation) and engine_is_here()):
        curve, about = (_course, "over the run") if isinstance(choice, Schedule) else (_bend, "from −3 to 3")
        st.html(_drawn(curve(choice), f"{choice.title} {about}"), width=SIDE)


@functools.cache
def _bend(activation: Activation) -> Sequence[float]:
    import torch

    with torch.inference_mode():
        return activation.build().eval()(torch.linspace(-REACH, REACH, POINTS)).tolist()


@functools.cache
def _course(schedule: Schedule) -> Sequence[float]:
    return [schedule.factor(step, EPOCHS * PER_EPOCH, PER_EPOCH) for step in range(EPOCHS * PER_EPOCH)]


def _drawn(values: Sequence[float], about: str) -> str:
    low, high = min([*values, 0]), max([*values, 0])
    across, up = (SIDE - 2 * MARGIN) / (len(values) - 1), (SIDE - 2 * MARGIN) / ((high - low) or 1)
    height = lambda value: SIDE - MARGIN - (value - low) * up  # noqa: E731
    points = " ".join(f"{MARGIN + place * across:.1f},{height(value):.1f}" for place, value in enumerate(values))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" fill="none">'
        f'<path d="M0 {height(0):.1f}H{SIDE}" stroke="#8C8C8C" stroke-width="0.75"/>'
        f'<polyline points="{points}" stroke="#2381C4" stroke-width="1.5"/></svg>'
    )
    picture = base64.b64encode(svg.encode()).decode()  # Streamlit lets no SVG into a page as it is
    return f'<img class="sketch" alt="{about}" title="{about}" src="data:image/svg+xml;base64,{picture}">'
