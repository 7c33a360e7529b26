"""Charts of mistakes: a confusion whose cells can be clicked, calibration, classes over epochs, residuals. Pure."""

import html
from collections.abc import Sequence

import numpy as np

from dlcore.inside.mistakes import Calibration, Known, Mistakes, Residuals
from pages.parts.charts import rounded
from pages.parts.network_charts import TWO_CLASSES, confusion_figure
from pages.parts.run_looks import COLOURS, DASHES, colour

GREY = "#8C8C8C"
STRONG = 0.4  # share of a row from which a cell is dark enough for white on it


def cells_figure(counts: np.ndarray, classes: Sequence[str]) -> dict:
    """The confusion, with a mark that cannot be seen on each cell: plotly selects marks by a click, and no cells of a
    heatmap. A mark's `customdata` is its row and column.
    """
    figure = confusion_figure(counts, classes)
    names = figure["data"][0]["x"]
    places = [(row, column) for row in range(len(names)) for column in range(len(names))]
    clear = {"marker": {"opacity": 0}}
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": [names[column] for _, column in places],
        "y": [names[row] for row, _ in places],
        "customdata": [list(place) for place in places],
        "marker": {"size": max(8, 300 // max(len(names), 1)), "symbol": "square", "opacity": 0},
        "selected": clear,
        "unselected": clear,
        "text": [f"{names[r]} taken for {names[c]}: {counts[r, c]} times" for r, c in places],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    # Numbers of our own: plotly chooses their ink by the colour of a cell as if it were not transparent.
    del figure["data"][0]["texttemplate"]
    shares = figure["data"][0]["z"]
    written = [
        {"x": names[c], "y": names[r], "text": str(counts[r, c]), "showarrow": False}
        | {"font": {"color": "#FFFFFF" if shares[r][c] > STRONG else GREY}}
        for r, c in places
        if counts[r, c]
    ]
    figure["data"].append(marks)
    figure["layout"] |= {"clickmode": "event+select", "dragmode": False, "annotations": written}
    return figure


def calibration_figure(number: int, found: Calibration) -> dict:
    """How often it is right (bars) beside how sure it is (the diagonal)."""
    width = float(found.edges[1] - found.edges[0])
    there = found.counts > 0
    told = [
        f"{count:,} samples<br>sure to {sure:.1%}, right in {right:.1%}"
        for count, sure, right in zip(found.counts[there], found.confidence[there], found.accuracy[there], strict=True)
    ]
    bars = {
        "type": "bar",
        "uid": "right",
        "x": rounded((found.edges[:-1] + found.edges[1:])[there] / 2),
        "y": rounded(found.accuracy[there]),
        "width": width * 0.94,
        "marker": {"color": colour(number), "opacity": rounded(0.3 + 0.7 * found.counts[there] / found.counts.max())},
        "text": told,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }
    exact = {"type": "scatter", "uid": "exact", "mode": "lines", "x": [0, 1], "y": [0, 1], "hoverinfo": "skip"}
    exact |= {"line": {"color": GREY, "width": 1, "dash": "dot"}}
    axis = {"range": [0, 1], "tickformat": ".0%"}
    layout = {
        "uirevision": f"calibration {number}",
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": axis | {"title": {"text": "how sure it is"}},
        "yaxis": axis | {"title": {"text": "how often it is right"}},
        "meta": {"label": "How often the network is right, by how sure it is"},
    }
    return {"data": [bars, exact], "layout": layout}


def classes_figure(number: int, known: Sequence[Known], classes: Sequence[str]) -> dict:
    """A line a class: the share of its validation samples that is right, after each epoch."""
    traces = [
        {
            "type": "scatter",
            "uid": f"class-{place}",
            "mode": "lines+markers" if len(known) == 1 else "lines",
            "name": html.escape(name, quote=False),
            "x": [one.epoch for one in known],
            "y": rounded([one.accuracy[place] for one in known]),
            "line": {
                "color": COLOURS[place % len(COLOURS)],
                "dash": DASHES[place // len(COLOURS) % len(DASHES)],
                "width": 2,
            },
        }
        for place, name in enumerate(classes)
    ]
    layout = {
        "uirevision": f"classes {number}",
        "showlegend": True,
        "xaxis": {"title": {"text": "epoch"}, "hoverformat": "d"},
        "yaxis": {"title": {"text": "right of each class"}, "tickformat": "~%", "hoverformat": ".1%"},
        "meta": {"label": "Accuracy of each class after each epoch"},
    }
    return {"data": traces, "layout": layout}


def points_figure(number: int, found: Mistakes, inputs: np.ndarray, worst: Sequence[int]) -> dict:
    """Samples of two features, inputs (N, 2): where what is wrong lies; the worst are ringed."""
    wrong = found.targets != found.predicted
    traces = []
    for place, name in enumerate(found.classes):
        for told, mask, opacity in (("right", ~wrong, 0.35), ("wrong", wrong, 1.0)):
            mine = mask & (found.targets == place)
            traces.append(
                {
                    "type": "scatter",
                    "uid": f"{told}-{place}",
                    "mode": "markers",
                    "name": f"{html.escape(name, quote=False)}, {told}",
                    "x": rounded(inputs[mine, 0]) or [None],
                    "y": rounded(inputs[mine, 1]) or [None],
                    "marker": {
                        "color": (TWO_CLASSES if len(found.classes) == 2 else COLOURS)[place % len(COLOURS)],
                        "symbol": "circle" if told == "right" else "x",
                        "size": 6 if told == "right" else 9,
                        "opacity": opacity,
                    },
                }
            )
    rings = {"symbol": "circle-open", "size": 16, "color": GREY, "line": {"width": 2}}
    at = inputs[np.asarray(worst, int)]
    ringed = {"x": rounded(at[:, 0]) or [None], "y": rounded(at[:, 1]) or [None], "marker": rings}
    traces.append({"type": "scatter", "uid": "worst", "mode": "markers", "name": "the worst"} | ringed)
    layout = {
        "uirevision": f"points {number}",
        "showlegend": True,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "first feature"}},
        "yaxis": {"title": {"text": "second feature"}},
        "meta": {"label": "The validation samples, and which of them are wrong"},
    }
    return {"data": traces, "layout": layout}


def residual_figure(number: int, found: Residuals, name: str) -> dict:
    """What is missing from each prediction, over the prediction: a cloud around zero, if nothing is left to learn."""
    predicted, missing = found.predicted[:, 0], found.targets[:, 0] - found.predicted[:, 0]
    dots = {"type": "scatter", "uid": "residuals", "mode": "markers", "name": "error"}
    dots |= {"x": rounded(predicted), "y": rounded(missing), "marker": {"color": colour(number), "size": 6}}
    zero = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0}
    layout = {
        "uirevision": f"residuals {number}",
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": f"{html.escape(name, quote=False)}, as the network says"}},
        "yaxis": {"title": {"text": "right minus predicted"}},
        "shapes": [zero | {"line": {"color": GREY, "width": 1, "dash": "dot"}}],
        "meta": {"label": "Errors over predictions"},
    }
    return {"data": [dots], "layout": layout}
