"""The dashboard. Start it with `streamlit run dashboard.py`."""

from pages.parts.live_chart import load_plotly

load_plotly()  # takes the browser as long as it takes Python to import torch, which the next line does

from pages.parts.frame import frame  # noqa: E402

frame().run()
