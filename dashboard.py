"""The dashboard. Start it with `streamlit run dashboard.py`."""

from pages.parts.frame import frame

frame().run()
