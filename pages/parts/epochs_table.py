"""The table of a run's epochs, the newest first, and all of them as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dlcore.engine.job import Moment
from dlcore.history import History
from pages.parts.columns import PERCENT, WHOLE, percent
from pages.parts.download import download_button
from pages.parts.facts import csv
from pages.parts.state.tab import once

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 200  # the CSV has them all
BUTTON_HEIGHT = 55  # pixels of the button below the table
COLUMNS = {
    "best": st.column_config.TextColumn("", width=30, help="The best epoch: its weights are kept."),
    "epoch": WHOLE | {"label": "epoch"},
    "step": WHOLE | {"label": "step"},
    "train_loss": st.column_config.NumberColumn("training loss", format="%.4f"),
    "train_accuracy": PERCENT | {"label": "training accuracy"},
    "val_loss": st.column_config.NumberColumn("validation loss", format="%.4f"),
    "val_accuracy": PERCENT | {"label": "validation accuracy"},
    "lr": st.column_config.NumberColumn("learning rate", format="%.2e"),
    "seconds": st.column_config.NumberColumn("seconds", format="%.1f"),
    "steps_per_second": st.column_config.NumberColumn("steps/s", format="%.0f"),
}


def epochs_table(run: Moment | None, height: int) -> None:
    """The table and the button take `height` pixels together."""
    if not (run and run.history.epochs):
        st.caption("After each epoch a row appears here.")
        return
    about = run.number, run.history.epochs[-1], run.history.best
    rows = once("train/table", about, lambda: latest(run.history))
    st.dataframe(rows, hide_index=True, height=height - BUTTON_HEIGHT, column_config=COLUMNS)
    download_button(
        "Download CSV",
        lambda: csv(run),
        name=f"dlcore-run-{run.number}.csv",
        type="text/csv",
        key="csv",
        help="Every epoch of this run, as a table for a spreadsheet.",
    )


def latest(history: History) -> pd.DataFrame:
    """The last epochs, the newest first."""
    import pandas as pd  # not before there is something to show: it takes half a second

    count = len(history.epochs)
    last = {name: column.values[:count][: -MOST_ROWS - 1 : -1] for name, column in history.columns.items()}
    shown = percent(pd.DataFrame(last), "train_accuracy", "val_accuracy").dropna(axis="columns", how="all")
    shown.insert(0, "best", np.where(shown["epoch"] == history.best.epoch, "★", ""))
    return shown
