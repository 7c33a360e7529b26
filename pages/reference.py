"""Reference: everything that can be chosen, what it means, what it takes, and the formula that runs."""

import pandas as pd
import streamlit as st

from dlcore.catalogue.activations import Activation
from dlcore.recipe import Recipe
from dlcore.settings import Settings, accepted, choices, explanation, family_of
from pages.parts.frame import ensure_frame


def settings_table(settings: type[Settings]) -> None:
    rows = [
        {
            "setting": field.title,
            "takes": accepted(field),
            "at first": first(field.default),
            "meaning": field.description,
        }
        for name, field in settings.model_fields.items()
        if name != "kind"
    ]
    if rows:
        st.table(pd.DataFrame(rows), hide_index=True)


def first(value: object) -> str:
    """A default in words."""
    if isinstance(value, Settings):
        return getattr(value, "kind", "all off")
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def family(members: dict[str, type[Settings]]) -> None:
    for kind, choice in members.items():
        with st.container(border=True):
            st.markdown(f"**{choice.title}** `{kind}`  \n{explanation(choice)}")
            if formula := getattr(choice, "formula", None):
                st.latex(formula)
            settings_table(choice)


ensure_frame()
families = {field.title: family_of(field) for field in Recipe.model_fields.values() if family_of(field)}
families["Activation"] = choices(Activation)
st.caption(
    "Every choice on the Train page, with the formula that runs. The same names work on the command line, as in "
    "`python -m dlcore train digits --set optimizer.kind=sgd --set optimizer.lr=0.1`."
)
views = {**families, "Run": {}}
for tab, members in zip(st.tabs(list(views), on_change="rerun", key="families"), views.values(), strict=True):
    if not tab.open:
        continue
    with tab:
        if members:
            family(members)
        else:
            settings_table(Recipe)
            for name in ("augmentation", "stop"):
                st.markdown(f"**{Recipe.model_fields[name].title}**")
                settings_table(Recipe.model_fields[name].annotation)
