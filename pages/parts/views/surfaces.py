"""Surfaces: the optimizers of the catalogue, racing on functions that can be seen whole."""

import streamlit as st

from dlcore.catalogue.optimizers import Optimizer
from dlcore.inside.surfaces import SURFACES, Descent, Surface, descend
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT
from dlcore.settings import choices, explanation
from pages.parts.controls import Editor
from pages.parts.landscape_charts import walks_figure
from pages.parts.problems import problem_list
from pages.parts.state.drafts import Draft
from pages.parts.state.tab import keep, once, remember, widget

MOST = 5
FIRST = ("sgd", "rmsprop", "adam")
RATES = {"sgd": 0.001, "rmsprop": 0.01, "adam": 0.05, "adamw": 0.05, "nadam": 0.05, "radam": 0.05, "adagrad": 0.3}
HEIGHT = 520
OTHERS = "Its other settings."


def show() -> None:
    with st.container(key="surfaces"):
        left, right = st.columns([1, 3], gap="large")
        with left:
            name, surface = _choose_surface()
            optimizers, steps = _choose_optimizers()
            start = remember(f"surfaces/start/{name}", surface.start)
            st.caption(f"Start: {start[0]:.3g}, {start[1]:.3g}. Click on the picture to set another one.")
        with right:
            about = (name, start, steps, tuple(optimizers.items()))
            walks = once("surfaces/walks", about, lambda: _walk(surface, optimizers, start, steps))
            _draw(name, surface, walks)


def _choose_surface() -> tuple[str, Surface]:
    about = "  \n".join(f"**{surface.title}**: {surface.about}" for surface in SURFACES.values())
    name = st.selectbox(
        "Function",
        list(SURFACES),
        index=list(SURFACES).index(remember("surfaces/function", next(iter(SURFACES)))),
        format_func=lambda name: SURFACES[name].title,
        help=about,
    )
    keep("surfaces/function", name)
    return name, SURFACES[name]


def _choose_optimizers() -> tuple[dict[str, Optimizer], int]:
    """Who walks, by kind, and how many steps."""
    kinds = choices(Optimizer)
    picked = st.multiselect(
        "Optimizers",
        list(kinds),
        default=remember("surfaces/optimizers", list(FIRST)),
        format_func=lambda kind: kinds[kind].title,
        max_selections=MOST,
        help="  \n".join(f"**{kind.title}**: {explanation(kind)}" for kind in kinds.values()),
    )
    keep("surfaces/optimizers", picked)
    optimizers, problems = {}, []
    for kind in picked:
        held = _draft(kind)
        edit = Editor(held)
        with st.container(gap=None):
            with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
                st.markdown(f"**{kinds[kind].title}**", width="content")
                more = st.popover(":material/tune:", key=f"{held.page}/more", help=OTHERS)
            with more:
                edit.fields("optimizer", apart=("lr",))
            edit.field("optimizer.lr")
        recipe, found = held.checked()
        problems += [problem for problem in found if problem.setting.startswith("optimizer")]
        if recipe:
            optimizers[kind] = recipe.optimizer
    problem_list(problems)
    steps = st.select_slider("Steps", [10, 20, 50, 100, 200, 500, 1000, 2000], value=remember("surfaces/steps", 200))
    keep("surfaces/steps", steps)
    return optimizers, steps


def _draft(kind: str) -> Draft:
    """The settings of an optimizer, as a recipe's."""
    key = f"surfaces/{kind}"
    held = remember(key, None)
    if held is None:
        held = Draft(key, DEFAULT, {}, {})
        cls = choices(Optimizer)[kind]
        held.take(DEFAULT, Recipe(optimizer=cls(lr=RATES.get(kind, cls().lr))))
        keep(key, held)
    return held


def _walk(
    surface: Surface, optimizers: dict[str, Optimizer], start: tuple[float, float], steps: int
) -> dict[str, Descent]:
    return {one.title: descend(surface, one, start, steps) for one in optimizers.values()}


def _draw(name: str, surface: Surface, walks: dict[str, Descent]) -> None:
    from plotly.graph_objects import Figure  # takes long to import, which no other page need wait for

    figure = walks_figure(surface, walks)
    figure["layout"]["height"] = HEIGHT
    key = f"surfaces/picture/{name}"
    st.plotly_chart(
        Figure(figure),
        key=key,
        on_select=lambda: _set_start(name, widget(key)),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    for title, walk in walks.items():
        if walk.reason:
            st.caption(f"**{title}**: {walk.reason}")
    st.caption(
        f"${surface.formula}$. {surface.about} Darker is higher; a cross is a minimum, a dot where an optimizer "
        "stands: all of them start from the same place, and are the ones that train networks here. "
        f"[Source]({surface.source})."
    )


def _set_start(name: str, event: dict | None) -> None:
    points = event["selection"]["points"] if event else []
    if points:
        keep(f"surfaces/start/{name}", (float(points[0]["x"]), float(points[0]["y"])))
