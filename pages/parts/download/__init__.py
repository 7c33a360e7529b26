"""A download that works while the page ticks: the text goes to the browser with the page, which makes the file.

`st.download_button` gives out links into the server's memory. Streamlit renews the link of a callable whenever the
button is drawn, and drops the file itself at the end of the second run of any script, in whatever tab: where
fragments run twice a second, a click meets a dead link now and then, and every other time with three tabs.
"""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from pages.parts.state.tab import keep, remember, widget

_mount = st.components.v2.component("download", js=(Path(__file__).parent / "download.js").read_text(encoding="utf-8"))


def download_button(label: str, make: Callable[[], str], *, name: str, type: str, key: str, help: str) -> None:
    """A button that saves `make()` as a file; made at the click, and not before.

    What one tick sends may never arrive when the next comes close behind: it is sent until the browser has it.
    """
    file, asked, saved = (f"{key}/{part}" for part in ("file", "asked", "saved"))
    with st.container(horizontal=True, gap=None, key=key):
        st.button(
            label,
            icon=":material/download:",
            on_click=lambda: keep(asked, remember(asked, 0) + 1),
            help=help,
        )
        number = remember(asked, 0)
        due = number != remember(saved, 0)
        _mount(
            key=file,
            data={"number": number, "name": name, "type": type, "text": make()} if due else {"number": 0},
            default={"saved": 0},
            on_saved_change=lambda: keep(saved, widget(file)["saved"]),
            width=1,
        )
