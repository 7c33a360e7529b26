"""What a person says of a run: its name, its tags and a note, each saved as it is left."""

from collections.abc import Callable, Sequence

import streamlit as st

from dlcore.runs.records import Stored, checked_name, checked_note, checked_tags
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError
from pages.parts.frame import part
from pages.parts.panels import escape
from pages.parts.state.process import conductor, store
from pages.parts.state.tab import keep, remember, widget


def describe_run(run: Stored, known_tags: Sequence[str]) -> None:
    fixed, key = not store().writable, f"run/{run.number}"

    def save(what: str, check: Callable) -> Callable[[], None]:
        return lambda: keep("run/refused", (run.number, what, rename(run.number, what, check, widget(f"{key}/{what}"))))

    def refused(what: str) -> None:
        number, where, sentence = remember("run/refused", (0, "", ""))
        told = sentence if (number, where) == (run.number, what) else ""
        with part(bool(told)):
            if told:
                st.error(escape(told), icon=":material/error:")

    st.text_input("Name", run.name, key=f"{key}/name", on_change=save("name", checked_name), disabled=fixed)
    refused("name")
    tags = list(dict.fromkeys([*known_tags, *run.tags]))
    st.multiselect(
        "Tags",
        tags,
        run.tags,
        key=f"{key}/tags",
        on_change=save("tags", checked_tags),
        accept_new_options=True,
        placeholder="Choose tags, or write new ones",
        disabled=fixed,
    )
    refused("tags")
    st.text_area("Note", run.note, key=f"{key}/note", on_change=save("note", checked_note), disabled=fixed, height=90)
    refused("note")


def rename(number: int, what: str, check: Callable, value: object) -> str:
    """Set a run's name, tags or note; why not, if it cannot be."""
    try:
        checked = check(value)
        store().describe(number, **{what: checked})
        job = next((job for job in conductor().jobs if job.number == number), None)
        if job and what == "name":
            job.name = checked
    except (SettingsError, StoreError) as error:
        return str(error)
    return ""
