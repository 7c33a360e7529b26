"""Charts: what was measured -> a plotly figure, as plain dicts in plotly's JSON schema. Pure; knows no Streamlit.

A run keeps its colour everywhere. Steps are faint, training thin, validation bold. A figure's size does not depend on
how long the run was (`dlcore.history.thin`).
"""

import html
from collections.abc import Iterable, Sequence

import numpy as np

from dlcore.fit import Fit
from dlcore.history import Epoch, means, thin
from dlcore.jobs import Job

# Okabe and Ito's palette, safe for colour-blind eyes; what vanishes in one of the themes is replaced: black by grey,
# yellow by a darker one, and the blue is a little lighter.
COLOURS = ("#2381C4", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#A8A000")
TWO = ("#E69F00", "#2381C4")  # the two classes of a plane
STEP_POINTS, MEAN_POINTS, EPOCH_POINTS = 400, 200, 200


def colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def loss_figure(jobs: Sequence[Job]) -> dict:
    """Loss over steps. One run: every step, their mean, training and validation; several: mean and validation."""
    traces = []
    for job in jobs:
        losses = job.history.losses
        steps, faint = thin(np.arange(1, len(losses) + 1), losses, STEP_POINTS)
        ends, mean = means(losses, MEAN_POINTS)
        look = {"legendgroup": job.name} if len(jobs) > 1 else {}
        if len(jobs) == 1:
            traces.append(_line(job, "each", "each step", steps, faint, width=1, opacity=0.25, hoverinfo="skip"))
        name = "steps, smoothed" if len(jobs) == 1 else f"{job.name}, steps"
        smooth = {"meta": {"smooth": True}, "opacity": 0.6, "showlegend": len(jobs) == 1}
        traces.append(_line(job, "steps", name, ends, mean, width=1.2, **smooth, **look))
        if len(jobs) == 1:
            traces.append(_epochs(job, "training", "train_loss", thin_line=True))
        traces.append(_epochs(job, "validation" if len(jobs) == 1 else job.name, "val_loss", **look))
    return _figure(jobs, traces, "loss", "Loss over training steps", log=True)


def accuracy_figure(jobs: Sequence[Job]) -> dict:
    """Accuracy over steps, after each epoch."""
    traces = []
    for job in jobs:
        look = {"legendgroup": job.name} if len(jobs) > 1 else {}
        names = ("training", "validation") if len(jobs) == 1 else (f"{job.name}, training", job.name)
        only = {"showlegend": len(jobs) == 1, "opacity": 1 if len(jobs) == 1 else 0.5}
        traces.append(_epochs(job, names[0], "train_accuracy", thin_line=True, **only, **look))
        traces.append(_epochs(job, names[1], "val_accuracy", **look))
    figure = _figure(jobs, traces, "accuracy", "Accuracy over training steps", log=False)
    figure["layout"]["yaxis"] |= {"tickformat": "~%", "hoverformat": ".2%"}
    if not any(job.history.epochs for job in jobs):
        figure["layout"]["yaxis"]["range"] = [0, 1]
    return figure


def fit_figure(job: Job, fit: Fit) -> dict:
    """One feature: the points and the curve through them; two: the points over the probability of the second class."""
    classes = job.recipe.data.classes
    if len(fit.axes) == 1:
        curve = _line(job, "fit", "network", [], [], width=3) | {"x": _short(fit.axes[0]), "y": _short(fit.answers)}
        traces = [curve, _points("data", fit.points[:, 0], fit.targets, "#8C8C8C")]
        titles = ("x", f"probability of {classes[1]}" if classes else "y")
    else:
        surface = {
            "type": "heatmap",
            "x": _short(fit.axes[0]),
            "y": _short(fit.axes[1]),
            "z": [_short(row) for row in fit.answers],
            "zmin": 0,
            "zmax": 1,
            "zsmooth": "best",
            "colorscale": [[0, TWO[0]], [0.5, "#F4F4F4"], [1, TWO[1]]],
            "opacity": 0.55,
            "colorbar": {"title": {"text": f"probability of {classes[1]}"}, "thickness": 10, "outlinewidth": 0},
            "hovertemplate": "%{z:.1%}<extra></extra>",
        }
        groups = [(name, fit.points[fit.targets == number]) for number, name in enumerate(classes)]
        marks = [_points(name, group[:, 0], group[:, 1], TWO[i]) for i, (name, group) in enumerate(groups)]
        traces = [surface, *marks]
        titles = ("first feature", "second feature")
    layout = {
        "uirevision": f"fit {job.number}",
        "hovermode": "closest",
        "xaxis": {"title": {"text": titles[0]}},
        "yaxis": {"title": {"text": titles[1]}},
        "meta": {"label": "What the network makes of the data"},
    }
    return {"data": traces, "layout": layout}


def confusion_figure(counts: np.ndarray, classes: Sequence[str]) -> dict:
    """How often each class (row) was taken for each (column); counts (classes, classes)."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    heat = {
        "type": "heatmap",
        "z": shares.tolist(),
        "x": list(classes),
        "y": list(classes),
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


def _figure(jobs: Sequence[Job], traces: list[dict], y: str, label: str, log: bool) -> dict:
    most = max((job.total_steps for job in jobs), default=0)
    layout = {
        # The zoom and the hidden lines belong to these runs; others start with a fresh view.
        "uirevision": " ".join(str(job.number) for job in jobs),
        "xaxis": {"title": {"text": "step"}, "rangemode": "nonnegative", "hoverformat": "d"},
        "yaxis": {"title": {"text": y}, "rangemode": "nonnegative", "hoverformat": ".4g"},
        "showlegend": True,
        "meta": {"log": log, "label": label},
    }
    if most:  # the whole run from the start: the axis does not grow under the curves
        layout["xaxis"]["range"] = [0, most]
    return {"data": traces, "layout": layout}


def _epochs(job: Job, name: str, measure: str, thin_line: bool = False, **look) -> dict:
    rows = _thin_rows([row for row in job.history.epochs if getattr(row, measure) is not None], measure)
    style = {"width": 1.4, "size": 3} if thin_line else {"width": 3, "size": 5}
    steps, values = [row.step for row in rows], [getattr(row, measure) for row in rows]
    line = _line(job, measure, name, steps, values, style["width"], **look)
    # Markers only while there is room for them: few epochs.
    few = len(rows) <= 60
    return line | {
        "mode": "lines+markers" if few else "lines",
        "marker": {"size": style["size"], "color": line["line"]["color"]},
    }


def _thin_rows(rows: Sequence[Epoch], measure: str) -> list[Epoch]:
    values = np.array([getattr(row, measure) for row in rows], dtype=np.float64)
    kept, _ = thin(np.arange(len(rows)), values, EPOCH_POINTS)
    return [rows[i] for i in kept]


def _points(name: str, x: np.ndarray, y: np.ndarray, ink: str) -> dict:
    marker = {"size": 6, "color": ink, "line": {"width": 1, "color": "#FFFFFF"}}
    look = {"type": "scatter", "mode": "markers", "uid": name, "name": name, "marker": marker}
    return look | {"x": _short(x), "y": _short(y)}


def _short(values: Iterable) -> list[float]:
    return [float(f"{value:.5g}") for value in values]  # five digits are more than a screen shows


def _line(job: Job, part: str, name: str, x: Iterable, y: Iterable, width: float, **look) -> dict:
    return {
        "type": "scatter",
        "uid": f"{part}-{job.number}",  # plotly makes selectors of it, so no name that a person gave
        "mode": "lines",
        "name": html.escape(name, quote=False),  # plotly reads it as markup
        "x": [int(value) for value in x] or [None],  # a line without points would be missing in the legend
        "y": _short(y) or [None],
        "line": {"color": colour(job.number), "width": width},
        **look,
    }
