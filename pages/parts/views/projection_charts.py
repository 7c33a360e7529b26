"""Charts of a layer's map: a point a sample, its colour the class, a cross what the network gets wrong. Pure."""

import html
from collections.abc import Sequence

import numpy as np

from dlcore.inside.projection import Activations
from pages.parts.charts import rounded
from pages.parts.run_looks import COLOURS

SHAPES = ("circle", "square", "diamond")  # in turn, once the colours have been used up
HEIGHT = 520


def map_figure(found: Activations, points: np.ndarray, titles: Sequence[str]) -> dict:
    """Points (N, 2) or (N, 3); `titles` of the axes. A point's `customdata` is its place in the validation split."""
    groups = [(html.escape(name, quote=False), found.targets == place) for place, name in enumerate(found.classes)]
    traces = []
    for place, (name, mine) in enumerate(groups or [("samples", np.ones(len(points), bool))]):
        ink = COLOURS[place % len(COLOURS)]
        right = {"symbol": SHAPES[place // len(COLOURS) % len(SHAPES)], "color": ink, "opacity": 0.65}
        if not groups:
            right |= {"color": rounded(found.targets), "colorscale": "Cividis", "showscale": True}
        traces.append(_trace(points, mine & ~found.wrong, name, right | {"size": 6 if points.shape[1] == 2 else 3}))
        if (mine & found.wrong).any():
            cross = {"symbol": "x", "color": ink, "size": 9 if points.shape[1] == 2 else 5}
            cross |= {"line": {"width": 1, "color": "#FFFFFF"}}
            traces.append(_trace(points, mine & found.wrong, f"{name}, wrong", cross) | {"showlegend": False})
    axes = [{"title": {"text": title}, "zeroline": False, "showticklabels": False} for title in titles]
    names = ("xaxis", "yaxis", "zaxis")
    layout: dict = {
        "height": HEIGHT,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "clickmode": "event+select",
        "hovermode": "closest",
        "showlegend": bool(groups),
        "legend": {"itemsizing": "constant"},
    }
    where = dict(zip(names, axes, strict=False))
    if points.shape[1] == 3:
        return {"data": traces, "layout": layout | {"scene": where}}
    where["yaxis"] |= {"scaleanchor": "x"}  # distances are the same in all directions
    return {"data": traces, "layout": layout | where}


def _trace(points: np.ndarray, which: np.ndarray, name: str, marker: dict) -> dict:
    places = np.flatnonzero(which)
    axes = dict(zip("xyz", (rounded(column) for column in points[places].T), strict=False))
    return {
        "type": "scatter3d" if len(axes) == 3 else "scatter",
        "mode": "markers",
        "name": name,
        "customdata": places.tolist(),
        "marker": marker,
        "hovertemplate": f"{name.replace('%', '&#37;')}<br>sample %{{customdata}}<extra></extra>",
        **axes,
    }
