"""The page's address: a recipe as a link, the runs that are selected, and what Back and Forward lead to."""

import time
from collections.abc import Iterable

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dlcore.sharing import from_link, is_setting, to_link
from pages.parts.state.drafts import Draft
from pages.parts.state.tab import keep, remember

UNDER_WAY = 1  # second that an address may take to the browser
MOST_SELECTED = 8  # runs side by side: as many as there are colours


def parameters() -> dict[str, list[str]]:
    """What the page's address asks for. Streamlit keeps its own parameters, such as `embed`, out of sight."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def follow_address(draft: Draft) -> None:
    """Before the controls: take the recipe of a link, when the tab opens it and when Back or Forward leads to it.

    At any other time an address that differs is an old one: the browser has not heard of the new one yet.
    """
    opened = not remember(f"{draft.page}/opened", False)
    keep(f"{draft.page}/opened", True)
    if not opened and not _back_or_forward():
        return
    asked = {name: texts[-1] for name, texts in parameters().items() if opened or is_setting(name)}
    name, values, problems = from_link(asked)
    settings = {name: text for name, text in asked.items() if is_setting(name)}
    if settings and settings != to_link(draft.name, draft.values):
        draft.open_link(name, values)
    draft.refused = problems


def show_address(draft: Draft) -> None:
    """After the controls: the address says what they say, so that it can be shared; others' parameters stay.

    Only where it differs, since every change is an entry in the browser's history. But an address that was sent just
    before Back may reach the browser after it, and would then stand where Back led to: there it is sent once more.
    """
    if draft.values != draft.start:
        draft.refused = []  # told long enough: the person went on
    there, recipe = parameters(), {name: [text] for name, text in to_link(draft.name, draft.values).items()}
    others = {name: texts for name, texts in there.items() if not is_setting(name)}
    overtaken = _back_or_forward() and time.monotonic() < remember("address/sent", 0) + UNDER_WAY
    if there != others | recipe or overtaken:
        st.query_params.from_dict(others | recipe)
        keep("address/sent", time.monotonic())


def _back_or_forward() -> bool:
    """Whether this run of the page was asked for by the browser's buttons."""
    return get_script_run_ctx().is_history_navigation


def follow_selection(arrived: bool) -> None:
    """Before the table of runs: take those that the address names, as `?run=12&run=13`, when the person has just come
    to the page, and when Back or Forward leads there.
    """
    asked = parameters().get("run", [])
    if (arrived and asked) or _back_or_forward():
        select_runs(asked)


def show_selection() -> None:
    """After the table: the address names the runs that are selected."""
    there, selected = parameters(), selected_runs()
    wanted = {name: texts for name, texts in there.items() if name != "run"} | ({"run": selected} if selected else {})
    if there != wanted:
        st.query_params.from_dict(wanted)


def selected_runs() -> list[str]:
    """The ids that this tab has selected on the Runs page; as they come from the address, so they may be anything."""
    return remember("runs/selected", [])


def select_runs(ids: Iterable[str]) -> None:
    keep("runs/selected", list(dict.fromkeys(ids))[:MOST_SELECTED])


def asked_moment() -> tuple[list[int], int | None]:
    """The runs and the epoch that the address names, as `?run=12&run=13&epoch=4`, when the person has just come to the
    page, and when Back or Forward leads there.
    """
    asked = parameters()
    opened = not remember("moment/opened", False)
    keep("moment/opened", True)
    if not opened and not _back_or_forward():
        return [], None
    numbers = [int(text) for text in asked.get("run", []) if _is_number(text)]
    epoch = asked.get("epoch", [""])[-1]
    return numbers, int(epoch) if _is_number(epoch) else None


def show_moment(ids: Iterable[str], epoch: int | None) -> None:
    """The address names what is looked at, so that it can be shared."""
    there = parameters()
    wanted = {name: texts for name, texts in there.items() if name not in ("run", "epoch")} | {"run": list(ids)}
    wanted |= {} if epoch is None else {"epoch": [str(epoch)]}
    if there != wanted:
        st.query_params.from_dict(wanted)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
