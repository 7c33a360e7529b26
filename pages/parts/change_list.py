"""What the numbered flags on a run's curves stand for, in a line below them."""

import html

import streamlit as st

from dlcore.runs.records import Record
from pages.parts.marks import marks


def change_list(run: Record | None) -> None:
    """One line, however many there are: the latest are in view, and the others a scroll to the left."""
    told = [f"<i>{mark.number}</i> {html.escape(', '.join(mark.words))}" for mark in (marks(run) if run else [])]
    with st.container(key="changes"):
        st.html(f'<p class="changes"><bdi>{" &ensp; ".join(told) or "&nbsp;"}</bdi></p>')
