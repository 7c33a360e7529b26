"""The dashboard. Start it with `streamlit run dashboard.py`."""

from pathlib import Path

import streamlit as st

from pages.parts.live_chart import load_plotly

st.html(Path(__file__).parent / "pages" / "parts" / "style.css")
load_plotly()  # takes the browser as long as it takes Python to import torch, which the next line does

from pages.parts.frame import frame  # noqa: E402
from pages.parts.session import warm_up  # noqa: E402

frame().run()
warm_up()
