"""What the browser can do while Python imports torch, for seconds, before it can draw a page: load the code of charts
and controls. So nothing here may import torch.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pages.parts.live_chart import load_plotly

SWITCH = 0.0005  # seconds that one thread may hold up others, each time; Python's own 5 ms are as long as many steps


@contextmanager
def early() -> Iterator[None]:
    """Whatever takes long happens within."""
    sys.setswitchinterval(SWITCH)  # files are served while Python imports, and pages while it trains
    load_plotly()
    place = st.empty()  # always there, or all that follows would change places when the page runs again
    if "torch" not in sys.modules:
        with place.container():
            st.caption("Starting PyTorch …")
            with st.container(height=1, border=False):  # nobody sees them, but the browser loads what they need
                st.selectbox("early", [""], key="early/selectbox")
                st.number_input("early", key="early/number")
                st.slider("early", key="early/slider")
                st.checkbox("early", key="early/checkbox")
                st.button("early", key="early/button")
                st.progress(0.0)
    yield
    place.empty()
