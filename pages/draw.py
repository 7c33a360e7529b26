"""Draw: write a digit and see what networks think of it, while the pen is down and while they still learn."""

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
import streamlit as st
import torch
from PIL import Image

from dlcore.catalogue.datasets import Data
from dlcore.engine.job import Job
from dlcore.inside.drawing import drawing_to_digit
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.runs.records import Record
from dlcore.settings import choices
from pages.parts import panels
from pages.parts.answers import show_answers
from pages.parts.choosing import choose_runs, kept_rows, known, offered
from pages.parts.drawing_pad import drawing_pad
from pages.parts.frame import ensure_frame, part
from pages.parts.state.process import conductor, jobs
from pages.parts.state.tab import keep, remember
from pages.parts.views.network import show as show_network
from pages.parts.views.saliency import show as show_saliency
from pages.parts.views.subject import Subject

EMPTY = "The pad is empty. Draw a digit on it."
PICTURES = {kind for kind, member in choices(Data).items() if getattr(member().spec().inputs, "drawn", False)}


def reads_drawings(job: Job) -> bool:
    return job.recipe.data.kind in PICTURES and job.status != "failed"


def read_drawings(row: dict) -> bool:
    """The same of a row of the store: with a checkpoint there is something to ask."""
    return row["data"] in PICTURES and row["size"] > 0


def best_of(candidates: Iterable[int], rows: Sequence[dict]) -> int:
    """The run that was right most often on validation; of equals one of this process, and the latest."""
    accuracy = {row["number"]: row["best_val_accuracy"] or 0.0 for row in rows}
    here = {job.number: job.history.best for job in jobs() if job.number in candidates}
    accuracy |= {number: row.val_accuracy or 0.0 for number, row in here.items() if row}
    return max(candidates, key=lambda number: (accuracy.get(number, 0.0), number in here, number))


def live(chosen: dict[int, str], best: bool, explain: bool) -> bool:
    """The pad, what the chosen runs say, and why the first of them does; whether some of it is still to come."""
    row = st.container(horizontal=True, gap="large")
    left, right = row.container(width=282), row.container()  # the pad's own width
    with left.container(key="drawing-pad"):
        strokes = drawing_pad(key="pad", strokes=remember("strokes", []))
        keep("strokes", strokes)
    try:
        digit = drawing_to_digit(strokes)
    except ValueError as error:
        right.error(panels.escape(str(error)))
        return False
    with left:
        show_digit(digit)
    with right.container(key="prediction"):
        if not chosen:
            st.info("Choose a run above to answer.", icon=":material/arrow_upward:")
        elif digit is None:
            st.info(EMPTY, icon=":material/draw:")
        else:
            waits = show_answers(chosen, torch.from_numpy(digit).view(1, 1, 28, 28), best)
            runs = known(chosen)[:1] if explain else []
            with part(bool(runs)):
                for run in runs:
                    waits |= explained(run, digit)
            return waits
    return False


def explained(run: Record, digit: np.ndarray) -> bool:
    """What the network's layers make of the drawing, and what its answer hangs on; only the open tab is made."""
    raw = digit.reshape(1, 28, 28).astype(np.float32)
    with st.container(key="explained"):
        st.caption(f"{panels.title(run)}, as it is now")
        subject = Subject(run.now() if isinstance(run, Job) else run)
        views = {
            "Its layers": lambda: show_network(subject, drawing=torch.from_numpy(raw), key="draw-network"),
            "What it hangs on": lambda: show_saliency(subject, key="draw-saliency", raw=raw),
        }
        return panels.tabs(views, "explain")


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
    with panels.told():
        if not any(map(reads_drawings, jobs())):  # a double click comes twice
            conductor().submit(DEFAULT, RECIPES[DEFAULT].recipe)


def choose_weights() -> bool:
    """Whether the weights of the best epoch answer."""
    chosen = st.segmented_control(
        "Weights",
        ["last", "best"],
        default=remember("draw/weights", "last"),
        key="weights",
        required=True,
        format_func=str.capitalize,
        help="Last: as the network is now, or was saved last. Best: as it was after its best epoch on validation.",
    )
    keep("draw/weights", chosen)
    return chosen == "best"


ensure_frame()
rows = kept_rows()
candidates = offered(reads_drawings, read_drawings, rows)
if candidates:
    with st.container(horizontal=True, vertical_alignment="bottom", key="who"):
        about = "Who answers: any run that was trained on 28 × 28 pictures, side by side; at first the best of them."
        chosen = choose_runs("Runs", candidates, [best_of(candidates, rows)], key="draw/runs", help=about)
        best = choose_weights()
        about = "Of the first run: what each of its layers makes of the drawing, and what its answer hangs on."
        explain = st.toggle("Explain", key="draw/explain", help=about)
    panels.follow(lambda: live(chosen, best, explain), lambda: known(chosen), panels.state_of(known(chosen)))
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
