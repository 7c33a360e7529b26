"""Deleted runs, which can be brought back for a day."""

import streamlit as st

from pages.parts.attempts import attempt
from pages.parts.frame import part
from pages.parts.panels import escape, told
from pages.parts.state.address import select_runs
from pages.parts.state.process import store
from pages.parts.state.tab import keep, remember

MOST_DELETED = 20  # that are listed


def undo_delete() -> None:
    """What was just deleted, and the way back."""
    number, name = remember("runs/deleted", None) or (0, "")
    with told(), part(bool(number), horizontal=True, vertical_alignment="center", key="undo"):
        if number:
            st.markdown(f"Deleted {escape(name)} (run {number}).")
            if st.button("Undo", icon=":material/undo:"):
                bring_back(number)


def deleted_runs() -> None:
    """What can still be brought back."""
    rows = store().rows(deleted=True)
    if not rows:
        return
    with st.expander(f"Deleted runs: {len(rows)}", key="deleted", type="compact"):
        st.caption("They can be brought back for a day.")
        for row in rows[:MOST_DELETED]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"{escape(row['name'])} · run {row['number']}", width="stretch")
                label, key = f"Bring back run {row['number']}", f"deleted/{row['number']}"
                st.button(label, key=key, on_click=lambda number=row["number"]: attempt(bring_back, number))
        if len(rows) > MOST_DELETED:
            st.caption(f"And {len(rows) - MOST_DELETED} more: `python -m dlcore restore ID` brings one back.")


def bring_back(number: int) -> None:
    store().bring_back(number)
    keep("runs/deleted", None)
    select_runs([str(number)])
    st.rerun()  # the whole page, which shows it
