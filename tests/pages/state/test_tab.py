"""What a tab remembers between runs of a page."""

from streamlit.testing.v1 import AppTest

from tests.pages.helpers import find, well


def page() -> None:
    """What is made shows when it was made, by a count of the page's runs."""
    import streamlit as st

    from pages.parts.state.tab import keep, once, remember

    keep("runs", remember("runs", 0) + 1)
    about = st.text_input("About", "first")
    st.text(once("made", about, lambda: f"{about}, in run {remember('runs', 0)}"))


def test_what_is_made_once_is_made_anew_when_it_is_about_something_else():
    at = well(AppTest.from_function(page).run())
    assert at.text[0].value == "first, in run 1"
    assert well(at.run()).text[0].value == "first, in run 1"
    well(find(at.text_input, "About").set_value("second").run())
    assert at.text[0].value == "second, in run 3"
