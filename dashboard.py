"""The dashboard. Start it with `streamlit run dashboard.py`."""

from pathlib import Path

import streamlit as st

from pages.parts.early import early

st.html(Path(__file__).parent / "pages" / "parts" / "style.css")
with early():
    from pages.parts.frame import frame
    from pages.parts.tending import tend

frame().run()
tend()
