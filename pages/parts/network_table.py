"""The table of a network's layers."""

import streamlit as st

from dlcore.catalogue.architectures import layers, size
from dlcore.recipe import Recipe
from pages.parts.facts import table
from pages.parts.state.process import engine_is_here


def network_table(recipe: Recipe) -> None:
    """The layers, with their output shapes and parameter counts, once someone wants to see them."""
    if not engine_is_here():
        st.expander("Network", key="no-network")
        return
    made_of = recipe.model, recipe.inputs, recipe.outputs
    with st.expander(f"Network: {size(*made_of):,} parameters", key="network", on_change="rerun") as fold:
        if fold.open:
            rows = [(one.name, " × ".join(map(str, one.output)), f"{one.parameters:,}") for one in layers(*made_of)]
            st.html(table(["layer", "output", "parameters"], rows))
