"""The dashboard. Start it with `streamlit run dashboard.py`."""

import sys
from pathlib import Path

import streamlit as st

from pages.parts.frame import frame
from pages.parts.live_chart import load_plotly
from pages.parts.tending import tend

SWITCH = 0.0005  # seconds that one thread may hold up others, each time; Python's own 5 ms are as long as many steps

sys.setswitchinterval(SWITCH)  # files are served while Python imports, and pages while it trains
st.html(Path(__file__).parent / "pages" / "parts" / "style.css")
load_plotly()
frame().run()
tend()
