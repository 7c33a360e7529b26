"""The table of runs: what is kept, searched and filtered; below it those that wait, and those just deleted.

It runs as a fragment, so that it can follow what trains here or elsewhere while the rest of the page stands still. What
is selected is kept by number (`selected_runs`): rows come, go and change places under the person's eyes.
"""

import datetime
import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dlcore.runs.records import ACTIVE
from pages.parts.attempts import attempt_problem
from pages.parts.deleted_runs import deleted_runs
from pages.parts.facts import size
from pages.parts.panels import told
from pages.parts.run_queue import run_queue
from pages.parts.state.address import MOST_SELECTED, select_runs, selected_runs
from pages.parts.state.process import store
from pages.parts.state.tab import keep, remember, set_widget, widget

TICK = 2  # seconds between two looks at the runs while one is under way
STATUSES = (*ACTIVE, "finished", "stopped", "failed", "interrupted")
SEARCHED = ("number", "name", "note", "data", "model", "optimizer")
HIGHEST, ROW_HEIGHT = 6, 30  # rows that are in view, and the pixels of each
ECHO = 2  # seconds in which the browser may not have heard of a selection that was made for it
NUMBER = st.column_config.NumberColumn


def overview(at_first: list[list[dict]], active: bool) -> None:
    """The table with all that finds a run. `at_first` holds the rows as the page has read them already, for its first
    run; `active` is whether any of them was under way then.
    """
    with told(), st.container(key="runs-table", gap="xsmall"):
        rows = at_first.pop() if at_first else store().rows()
        shown = search(rows)
        listing(rows, shown)
        attempt_problem()
        left, right = st.columns(2)
        with left:
            run_queue()
        with right:
            deleted_runs()
        if not rows or any(row["status"] in ACTIVE for row in rows) != active:
            st.rerun()


def search(rows: list[dict]) -> list[dict]:
    """The line of fields above the table, and the rows that fit what they say."""
    words, statuses, tags = st.columns([2, 1, 1])
    asked = words.text_input(
        "Search",
        key="runs/search",
        type="search",
        live=True,
        persist_state="session",
        placeholder="Search: id, name, tag, note, data, model, optimizer",
        label_visibility="collapsed",
    )
    chosen = statuses.multiselect(
        "Status",
        STATUSES,
        key="runs/status",
        persist_state="session",
        placeholder="Any status",
        label_visibility="collapsed",
    )
    known = sorted({tag for row in rows for tag in row["tags"]} | set(widget("runs/tags", [])))
    wanted = tags.multiselect(
        "Tags",
        known,
        key="runs/tags",
        persist_state="session",
        placeholder="Any tag",
        label_visibility="collapsed",
        disabled=not known,
    )
    return [row for row in rows if fits(row, asked.lower().split(), chosen, wanted)]


def fits(row: dict, words: Sequence[str], statuses: Sequence[str], tags: Sequence[str]) -> bool:
    """Every word is somewhere in the row, its status is one of those, and it has all the tags."""
    if (statuses and row["status"] not in statuses) or not set(tags) <= set(row["tags"]):
        return False
    text = "\n".join([*(str(row[name]) for name in SEARCHED), *row["tags"]]).lower() if words else ""
    return all(word in text for word in words)


def listing(rows: list[dict], shown: list[dict]) -> None:
    ids = [str(row["number"]) for row in shown]
    places = {id: place for place, id in enumerate(ids)}
    selected = [places[id] for id in selected_runs() if id in places]
    state = widget("runs/list")
    # The browser knows places alone: they differ when rows came or went, and when the address selects others.
    if state is None or set(state["selection"]["rows"]) != set(selected):
        show_selected(selected)
    few, many = f"{len(shown):,} of " if len(shown) < len(rows) else "", "s" if len(rows) > 1 else ""
    room = size(sum(row["size"] for row in rows))
    hint = f"A click shows a run; the boxes on the left lay up to {MOST_SELECTED} over each other."
    st.caption(f"{few}{len(rows):,} run{many} · {room} on disk. {hint}")
    st.dataframe(
        frame(shown),
        key="runs/list",
        height=34 + ROW_HEIGHT * min(max(len(rows), 2), HIGHEST),
        row_height=ROW_HEIGHT,
        hide_index=True,
        placeholder="",
        on_select=lambda: pick(ids),
        selection_mode=["multi-row", "single-cell"],
        column_config=COLUMNS,
        alt="Runs",
    )


def show_selected(places: list[int], cell: tuple[int, str] | None = None) -> None:
    """Select rows for the person, and remember for a while what the browser had selected, which may come back."""
    if (state := widget("runs/list")) and state["selection"]["rows"] != places:
        rows, cells = state["selection"]["rows"], state["selection"]["cells"]
        keep("runs/echoes", [*echoes(), (time.monotonic(), rows, [None, *cells])])
    set_widget("runs/list", {"selection": {"rows": places, "columns": [], "cells": [cell] if cell else []}})
    keep("runs/made", (places, cell))


def echoes() -> list[tuple[float, list[int], list]]:
    """When, rows and cells: what the browser had until it was told otherwise, not long ago."""
    return [echo for echo in remember("runs/echoes", []) if time.monotonic() - echo[0] < ECHO]


def pick(ids: list[str]) -> None:
    """What the person selected: a row by its box, beside others, or by a click anywhere in it, alone.

    Not what comes along with something else that the person does, before the browser has heard of the latest selection:
    its places may be those of other rows, and `listing` selects the right ones again.
    """
    selection = widget("runs/list")["selection"]
    cell = selection["cells"][0] if selection["cells"] else None
    if any(selection["rows"] == rows and cell in cells for _, rows, cells in echoes()):
        return
    made, made_cell = remember("runs/made", ([], None))
    if selection["rows"] == made:
        keep("runs/echoes", [])  # it has heard
    clicked = cell if cell != made_cell else None
    rows = [row for row in ([clicked[0]] if clicked else selection["rows"]) if row < len(ids)][:MOST_SELECTED]
    select_runs(ids[row] for row in rows)
    show_selected(rows, clicked)
    keep("runs/deleted", None)
    st.rerun()


def frame(rows: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*COLUMNS, "epochs", "created", "elapsed", "parent_epoch"])
    for share in ("val_accuracy", "best_val_accuracy"):  # Streamlit's own format gives each its own number of digits
        table[share] = table[share].astype(float) * 100
    for number in ("val_loss", "lr", "parent", "size"):
        table[number] = table[number].astype(float)
    longest = len(str(table["epoch"].max())) if rows else 1
    table["epoch"] = [f"{row['epoch']:\u2007>{longest}} of {row['epochs']}" for row in rows]  # so it sorts by number
    table["best_epoch"] = table["best_epoch"].astype(float).where(table["best_epoch"] > 0)
    table["trained"] = pd.to_timedelta(table["elapsed"].astype(float).round(), unit="s")
    table["begun"] = [datetime.datetime.fromtimestamp(row["created"]) for row in rows]
    table["note"] = [row["note"].strip().partition("\n")[0][:100] for row in rows]
    return table[list(COLUMNS)]


COLUMNS = {
    "number": NUMBER("id", format="%d", width=46),
    "name": st.column_config.TextColumn("name", width=150),
    "status": st.column_config.TextColumn("status", width=84),
    "epoch": st.column_config.TextColumn("epoch", width=80),
    "val_accuracy": NUMBER("accuracy", format="%.1f%%", width=70, help="On validation, after the last whole epoch."),
    "val_loss": NUMBER("loss", format="%.4f", width=62, help="On validation, after the last whole epoch."),
    "best_val_accuracy": NUMBER("best", format="%.1f%%", width=60, help="The best accuracy on validation."),
    "best_epoch": NUMBER("at epoch", format="%d", width=72, help="The best epoch."),
    "data": st.column_config.TextColumn("data", width=80),
    "model": st.column_config.TextColumn("model", width=60),
    "optimizer": st.column_config.TextColumn("optimizer", width=76),
    "lr": NUMBER("lr", format="%g", width=60, help="The learning rate that it began with."),
    "trained": NUMBER("time", format="compact", width=72, help="Time trained, pauses left out."),
    "begun": st.column_config.DatetimeColumn("begun", format="YYYY-MM-DD HH:mm", width=125),
    "tags": st.column_config.ListColumn("tags", width=140),
    "note": st.column_config.TextColumn("note", width=180),
    "size": NUMBER("disk", format="bytes", width=75),
    "parent": NUMBER("parent", format="%d", width=65, help="The run that this one is a branch of."),
}
