"""Draw: write a digit and see what networks think of it, while the pen is down and while they still learn."""

import base64
import io

import numpy as np
import streamlit as st
import torch
from PIL import Image

from dlcore.drawing import drawing_to_digit
from dlcore.jobs import Job
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.training import predict
from pages.parts import panels
from pages.parts.charts import colour
from pages.parts.drawing_pad import drawing_pad
from pages.parts.frame import ensure_frame
from pages.parts.session import conductor, jobs, keep, remember

EMPTY = "The pad is empty. Draw a digit on it."


def reads_drawings(job: Job) -> bool:
    return job.recipe.data.shape == (1, 28, 28) and job.status != "failed"


def live(chosen: list[Job], active: bool) -> None:
    """The pad, and what the chosen runs say."""
    row = st.container(horizontal=True, gap="large")
    left, right = row.container(width=282), row.container()  # the pad's own width
    with left.container(key="drawing-pad"):
        strokes = drawing_pad(key="pad", strokes=remember("strokes", []))
        keep("strokes", strokes)
    try:
        digit = drawing_to_digit(strokes)
    except ValueError as error:
        right.error(panels.escape(str(error)))
        return
    with left:
        show_digit(digit)
    with right.container(key="prediction"):
        if not chosen:
            st.info("Choose a run above to answer.", icon=":material/arrow_upward:")
        elif digit is None:
            st.info(EMPTY, icon=":material/draw:")
        else:
            answers(chosen, digit)
    panels.rerun_when_changed(chosen, active)


def answers(chosen: list[Job], digit: np.ndarray) -> None:
    """Each run's card: the questions go out together, so that they wait but once."""
    raw = torch.from_numpy(digit).view(1, 1, 28, 28)
    asked = [(job, job.ask(lambda run: predict(run, raw)[0].tolist()) if job.ready else None) for job in chosen]
    columns = st.columns(min(len(chosen), 2))
    for place, (job, future) in enumerate(asked):
        with columns[place % len(columns)]:
            if future is None:
                st.caption(f"{panels.title(job)} has no network yet.")
                continue
            try:
                card(job, future.result(panels.PATIENCE))
            except TimeoutError:
                st.caption(f"{panels.title(job)} is busy with a long step; its answer comes later.")


def card(job: Job, probabilities: list[float]) -> None:
    """The top class, and all of them as bars."""
    classes, top = job.recipe.data.classes, int(np.argmax(probabilities))
    ink = colour(job.number)
    bars = "".join(
        f'<div class="bar{" top" if place == top else ""}"><span>{name}</span>'
        f'<div><i style="width:{share:.1%};background:{ink}"></i></div><b>{share:.1%}</b></div>'
        for place, (name, share) in enumerate(zip(classes, probabilities, strict=True))
    )
    st.caption(panels.title(job))
    st.html(
        f'<div class="answer"><p class="class">{classes[top]} <small>{probabilities[top]:.1%}</small></p>{bars}</div>'
    )


def show_digit(digit: np.ndarray | None) -> None:
    """The 28 by 28 picture that the network sees."""
    pixels = np.zeros((28, 28)) if digit is None else digit
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(pixels * 255))).save(file, "png")
    picture = base64.b64encode(file.getvalue()).decode()
    st.html(
        '<figure class="seen"><figcaption>What the network sees: 28 × 28 pixels</figcaption>'
        f'<img alt="The drawing as the network sees it" src="data:image/png;base64,{picture}"></figure>'
    )


def train_digits() -> None:
    if not any(map(reads_drawings, jobs())):  # a double click comes twice
        conductor().submit(DEFAULT, RECIPES[DEFAULT].recipe)


def choose_runs(candidates: list[Job]) -> list[Job]:
    known = {job.number: job for job in candidates}
    before = [number for number in remember("draw/runs", []) if number in known]
    picked = st.multiselect(
        "Runs",
        list(reversed(known)),
        default=before or [candidates[-1].number],
        key="draw/runs",
        format_func=lambda number: f"{known[number].name} · run {number}",
        max_selections=4,
        help="Who answers: any run of this session that was trained on 28 × 28 pictures. Up to four side by side.",
    )
    keep("draw/runs", picked)
    return [known[number] for number in picked]


ensure_frame()
candidates = [job for job in jobs() if reads_drawings(job)]
if candidates:
    chosen = choose_runs(candidates)
    active = any(job.active for job in chosen)
    st.fragment(live, run_every=panels.TICK if active else None)(chosen, active)
else:
    st.subheader("No network can read your drawing yet")
    st.write(
        "Train one on 4,000 handwritten digits. It takes less than a minute, and you can draw while it is learning: "
        "its answers get better as you watch."
    )
    st.button(
        "Train digits",
        type="primary",
        icon=":material/play_circle:",
        on_click=train_digits,
        help="Starts the recipe digits, the same as on the Train page.",
    )
