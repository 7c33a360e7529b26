"""Columns: how numbers look in a table of Streamlit's, the same in every one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    import pandas as pd

WHOLE = st.column_config.NumberColumn(format="%d")
PERCENT = st.column_config.NumberColumn(format="%.1f%%")


def percent(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Shares as percents: Streamlit's own format for shares gives each its own number of digits."""
    return frame.assign(**{column: frame[column] * 100 for column in columns})
