"""Charts of what a network answers: over the data itself, and class by class. Pure, as `charts`."""

import html
from collections.abc import Sequence

import numpy as np

from dlcore.inside.fit import Fit
from dlcore.recipe import Recipe
from pages.parts.charts import rounded
from pages.parts.run_looks import colour

TWO_CLASSES = ("#E69F00", "#2381C4")  # the two classes of a plane


def fit_figure(recipe: Recipe, number: int, fit: Fit) -> dict:
    """`number` is the run's, 0 for a network that belongs to none yet.

    One feature: the points and the curve through them; two: the points over the probability of the second class."""
    classes = [html.escape(name, quote=False) for name in recipe.task.classes]
    if len(fit.axes) == 1:
        curve = {
            "type": "scatter",
            "uid": f"fit-{number}",
            "mode": "lines",
            "name": "network",
            "x": rounded(fit.axes[0]),
            "y": rounded(fit.answers),
            "line": {"color": colour(number), "width": 3},
        }
        traces = [curve, _points(0, "data", fit.points[:, 0], fit.targets, "#8C8C8C")]
        titles = ("x", f"probability of {classes[1]}" if classes else "y")
    else:
        surface = {
            "type": "heatmap",
            "x": rounded(fit.axes[0]),
            "y": rounded(fit.axes[1]),
            "z": [rounded(row) for row in fit.answers],
            "zmin": 0,
            "zmax": 1,
            "zsmooth": "best",
            "colorscale": [[0, TWO_CLASSES[0]], [0.5, "#F4F4F4"], [1, TWO_CLASSES[1]]],
            "opacity": 0.55,
            "showscale": False,  # the points' colours tell
            "hovertemplate": f"{classes[1]} %{{z:.1%}}<extra></extra>",
        }
        groups = [(name, fit.points[fit.targets == number]) for number, name in enumerate(classes)]
        marks = [_points(i, name, group[:, 0], group[:, 1], TWO_CLASSES[i]) for i, (name, group) in enumerate(groups)]
        traces = [surface, *marks]
        titles = ("first feature", "second feature")
    layout = {
        "uirevision": f"fit {number}",
        "hovermode": "closest",
        "xaxis": {"title": {"text": titles[0]}},
        "yaxis": {"title": {"text": titles[1]}},
        "meta": {"label": "What the network makes of the data"},
    }
    return {"data": traces, "layout": layout}


def confusion_figure(counts: np.ndarray, classes: Sequence[str]) -> dict:
    """How often each class (row) was taken for each (column); counts (classes, classes)."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [html.escape(name, quote=False) for name in classes]
    heat = {
        "type": "heatmap",
        "z": shares.tolist(),
        "x": names,
        "y": names,
        "text": counts.tolist(),
        "texttemplate": "%{text}",
        "hovertemplate": "%{y} taken for %{x}: %{text} times, %{z:.0%}<extra></extra>",
        "colorscale": [[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,0.9)"]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }
    axis = {"type": "category", "constrain": "domain", "showgrid": False}
    layout = {
        "height": 420,
        "margin": {"l": 70, "r": 10, "t": 10, "b": 60},
        "xaxis": axis | {"title": {"text": "what the network says"}},
        "yaxis": axis | {"title": {"text": "what it is"}, "autorange": "reversed"},
    }
    return {"data": [heat], "layout": layout}


def _points(number: int, name: str, x: np.ndarray, y: np.ndarray, ink: str) -> dict:
    marker = {"size": 6, "color": ink, "line": {"width": 1, "color": "#FFFFFF"}}
    look = {"type": "scatter", "mode": "markers", "uid": f"points-{number}", "name": name, "marker": marker}
    return look | {"x": rounded(x), "y": rounded(y)}
