"""Charts: what was measured -> a plotly figure, as plain dicts in plotly's JSON schema. Pure; knows no Streamlit.

A run keeps its colour everywhere. Steps are faint, training thin, validation bold. A figure's size does not depend on
how long the run was (`dlcore.curve`).
"""

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dlcore.curve import Curve
from dlcore.history import LOST, MEASURES, Change, History
from dlcore.inside.fit import Fit
from dlcore.recipe import Recipe, field_at, value_at
from dlcore.runs.records import PACE, Record
from dlcore.studies import races

# Okabe and Ito's palette, safe for colour-blind eyes; what vanishes in one of the themes is replaced: black by grey,
# yellow by a darker one, and the blue is a little lighter.
COLOURS = ("#2381C4", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#A8A000")
TWO = ("#E69F00", "#2381C4")  # the two classes of a plane
# What tells runs of the same colour apart.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px 2px 2px 2px", "2px 6px")
LONGEST_LABEL = 28  # letters of a run's name in the legend
MOST_MARKS, BEST_SIZE = 30, 11
STEP_POINTS, MEAN_POINTS, EPOCH_POINTS = 400, 200, 200
TENS = np.array([float(f"1e{power}") for power in range(309)])


def colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def dashes(runs: Sequence[Record]) -> list[str]:
    """How the lines of each are drawn, so that two runs of one colour are told apart."""
    inks = [colour(run.number) for run in runs]
    return [DASHES[inks[:place].count(ink) % len(DASHES)] for place, ink in enumerate(inks)]


def called(run: Record) -> str:
    """What a legend calls a run among others that may share its name."""
    return f"{short_name(run.name)} · run {run.number}"


def short_name(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1].rstrip()}…"


def loss_figure(jobs: Sequence[Record], beside: Sequence[Record] = ()) -> dict:
    """Loss over steps. One run: every step, their mean, training and validation; several: mean and validation.

    `beside`: other runs, which are called by their numbers, too.
    """
    traces, runs = [], [*jobs, *beside]
    for job, dash in zip(runs, dashes(runs), strict=True):
        losses = job.history.step_losses
        ends, mean = losses.means(MEAN_POINTS)
        name = called(job) if job in beside else races.label(job)
        look = {"legendgroup": str(job.number), "dash": dash} if len(runs) > 1 else {}
        if len(runs) == 1:
            places, faint = losses.thin(STEP_POINTS)
            traces.append(_line(job, "each", "each step", places + 1, faint, width=1, opacity=0.25, hoverinfo="skip"))
        smoothed = "steps, smoothed" if len(runs) == 1 else f"{name}, steps"
        smooth = {"meta": {"smooth": True}, "opacity": 0.6, "showlegend": len(runs) == 1}
        traces.append(_line(job, "steps", smoothed, ends, mean, width=1.2, **smooth, **look))
        if len(runs) == 1:
            traces.append(_epochs(job, "training", "train_loss", thin_line=True))
        traces.append(_epochs(job, "validation" if len(runs) == 1 else name, "val_loss", **look))
    return _figure(jobs, beside, traces, "loss", "Loss over training steps", log=True)


def accuracy_figure(jobs: Sequence[Record], beside: Sequence[Record] = ()) -> dict:
    """Accuracy over steps, after each epoch; `beside` as in `loss_figure`."""
    traces, runs = [], [*jobs, *beside]
    for job, dash in zip(runs, dashes(runs), strict=True):
        name = called(job) if job in beside else races.label(job)
        look = {"legendgroup": str(job.number), "dash": dash} if len(runs) > 1 else {}
        names = ("training", "validation") if len(runs) == 1 else (f"{name}, training", name)
        only = {"showlegend": len(runs) == 1, "opacity": 1 if len(runs) == 1 else 0.5}
        traces.append(_epochs(job, names[0], "train_accuracy", thin_line=True, **only, **look))
        traces.append(_epochs(job, names[1], "val_accuracy", **look))
    figure = _figure(jobs, beside, traces, "accuracy", "Accuracy over training steps", log=False)
    figure["layout"]["yaxis"] |= _percent_axis(traces)
    return figure


def fit_figure(job: Record, fit: Fit) -> dict:
    """One feature: the points and the curve through them; two: the points over the probability of the second class."""
    classes = [html.escape(name, quote=False) for name in job.recipe.task.classes]
    if len(fit.axes) == 1:
        curve = _line(job, "fit", "network", [], [], width=3) | {"x": _short(fit.axes[0]), "y": _short(fit.answers)}
        traces = [curve, _points(0, "data", fit.points[:, 0], fit.targets, "#8C8C8C")]
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
        marks = [_points(i, name, group[:, 0], group[:, 1], TWO[i]) for i, (name, group) in enumerate(groups)]
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


def _figure(
    jobs: Sequence[Record], beside: Sequence[Record], traces: list[dict], y: str, label: str, log: bool
) -> dict:
    runs = [*jobs, *beside]
    # Of a run beside that ended early, what it did not do is of no interest.
    reached = [run.total_steps if run.active else run.history.steps for run in beside]
    most = max([*(job.total_steps for job in jobs), *reached], default=0)
    layout = {
        # The zoom and the hidden lines belong to these runs; others start with a fresh view.
        "uirevision": " ".join(str(run.number) for run in runs),
        "xaxis": {"title": {"text": "step"}, "rangemode": "nonnegative", "hoverformat": "d"},
        "yaxis": {"title": {"text": y}, "rangemode": "nonnegative", "hoverformat": ".4g"},
        "showlegend": True,
        "meta": {"log": log, "label": label},
    }
    if most:  # the whole run from the start: the axis does not grow under the curves
        layout["xaxis"]["range"] = [0, most]
    if len(runs) == 1:
        layout |= _marks(runs[0])
    return {"data": traces, "layout": layout}


def _percent_axis(traces: Sequence[dict]) -> dict:
    """From 0 to 100 % while there is nothing on it: before the first epoch, and of an imported run."""
    empty = all(trace["y"] == [None] for trace in traces)
    return {"tickformat": "~%", "hoverformat": ".2%"} | ({"range": [0, 1]} if empty else {})


def _marks(run: Record) -> dict:
    """Where the run left its parent, and where its settings were changed: a line each, with words."""
    marks = {}
    if run.branch:
        marks[run.branch.step] = [f"branch of run {run.branch.parent}"]
    for change in (change for change in run.history.changes if change.step):
        marks.setdefault(change.step, []).append(change_text(run.recipe, change))
    latest = sorted(marks)[-MOST_MARKS:]
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": "#8C8C8C", "width": 1, "dash": "dot"}}
    words = {"yref": "paper", "y": 1, "yanchor": "top", "xanchor": "right", "textangle": -90, "showarrow": False}
    return {
        "shapes": [line | {"x0": step, "x1": step} for step in latest],
        "annotations": [
            words | {"x": step, "text": html.escape(", ".join(marks[step])), "font": {"size": 11}} for step in latest
        ],
    }


def change_text(recipe: Recipe, change: Change) -> str:
    """`learning rate 0.01`, `full speed`."""
    if change.setting == PACE:
        return "full speed" if change.value is None else f"{change.value:g} steps/s"
    if change.setting == LOST:
        return "measurements before are lost"
    if change.setting in MEASURES:
        return "measured by another loss" if change.setting == "loss.kind" else "measured on other data"
    value = f"{change.value:g}" if isinstance(change.value, float) else str(change.value).lower()
    if value_at(recipe, change.setting) is None:  # a parent's, whose optimizer had other settings
        return f"{change.setting.rpartition('.')[2].replace('_', ' ')} {value}"
    return f"{field_at(recipe, change.setting).title.lower()} {value}"


def _epochs(job: Record, name: str, measure: str, thin_line: bool = False, **look) -> dict:
    steps, values, best = _measured(job.history, measure)
    style = {"width": 1.4, "size": 3} if thin_line else {"width": 3, "size": 5}
    line = _line(job, measure, name, steps, values, style["width"], **look)
    # Markers only while there is room for them: few epochs. The best one has a star, whatever the number.
    size = style["size"] if len(steps) <= 60 else 0
    marker = {"size": size, "color": line["line"]["color"]}
    if best is not None and not thin_line:
        starred = [place == best for place in range(len(steps))]
        marker |= {
            "size": [BEST_SIZE if star else size for star in starred],
            "symbol": ["star" if star else "circle" for star in starred],
            "line": {"width": [1 if star else 0 for star in starred], "color": "#FFFFFF"},
        }
        line["text"] = ["best epoch" if star else "" for star in starred]
    # A mark on the edge, such as the last epoch's, is drawn whole.
    marked = size or "symbol" in marker  # plotly takes a size of 0 alone for its own default
    return line | {"mode": "lines+markers" if marked else "lines", "marker": marker, "cliponaxis": False}


def _measured(history: History, measure: str, begin: int = 1) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Steps and values at the ends of few of the epochs from one on, the lowest and the highest of every stretch among
    them, the first and the best; and the best one's place.
    """
    best = history.best.epoch - 1 if history.best else begin - 1
    places = np.union1d(history.columns[measure].thin(EPOCH_POINTS)[0], [begin - 1, best])
    places = places[(begin - 1 <= places) & (places < len(history.epochs))]
    values = history.columns[measure].values[places]
    if measure.endswith("accuracy"):  # there is none in regression, while a loss may be no number
        places, values = places[~np.isnan(values)], values[~np.isnan(values)]
    starred = np.flatnonzero(places == best)
    return history.columns["step"].values[places], values, int(starred[0]) if history.best and len(starred) else None


def _points(number: int, name: str, x: np.ndarray, y: np.ndarray, ink: str) -> dict:
    marker = {"size": 6, "color": ink, "line": {"width": 1, "color": "#FFFFFF"}}
    look = {"type": "scatter", "mode": "markers", "uid": f"points-{number}", "name": name, "marker": marker}
    return look | {"x": _short(x), "y": _short(y)}


def _short(values: ArrayLike) -> list[float]:
    """With five digits, which are more than a screen shows."""
    values = np.asarray(values, np.float64)
    size = np.abs(values, where=np.isfinite(values) & (values != 0), out=np.ones_like(values))
    digits = np.minimum(4 - np.floor(np.log10(size)).astype(int), len(TENS) - 1)  # after the point
    tens = TENS[np.abs(digits)]  # which are exact, as their inverses are not
    with np.errstate(over="ignore"):  # in the arm that is not taken
        return np.where(digits > 0, np.round(values * tens) / tens, np.round(values / tens) * tens).tolist()


def _line(
    job: Record, part: str, name: str, x: ArrayLike, y: ArrayLike, width: float, dash: str = "solid", **look
) -> dict:
    return {
        "type": "scatter",
        "uid": f"{part}-{job.number}",  # plotly makes selectors of it, so no name that a person gave
        "mode": "lines",
        "name": html.escape(name, quote=False),  # plotly reads it as markup
        "x": np.asarray(x, int).tolist() or [None],  # a line without points would be missing in the legend
        "y": _short(y) or [None],
        "line": {"color": colour(job.number), "width": width, "dash": dash},
        **look,
    }


def overlay_figure(runs: Sequence[Record], measure: str, x: str) -> dict:
    """Runs over each other by `step`, `epoch` or `time`: validation bold; beside the loss, the steps' means thin.

    A ring marks where a branch left its parent; if the parent is shown too, the branch begins there.
    """
    unit, per = _time_unit(runs) if x == "time" else (x, 1)
    shown, traces = {run.number for run in runs}, []
    for run, dash in zip(runs, dashes(runs), strict=True):
        start, begin = (run.branch.step, run.branch.epoch) if run.branch and run.branch.parent in shown else (0, 1)
        line = {"color": colour(run.number), "width": 3, "dash": dash}
        label = html.escape(called(run), quote=False)

        def trace(part, steps, values, run=run, label=label, **look) -> dict:
            places = [float(f"{place:.7g}") for place in _places(run, steps, x) / per]
            look = {"uid": f"{part}-{run.number}", "legendgroup": str(run.number), "mode": "lines", **look}
            return {"type": "scatter", "name": label, "x": places or [None], "y": _short(values) or [None], **look}

        if measure == "loss":
            losses = Curve(run.history.losses[start:]) if start else run.history.step_losses
            ends, mean = losses.means(MEAN_POINTS)
            look = {"meta": {"smooth": True}, "opacity": 0.5, "showlegend": False, "hoverinfo": "skip"}
            traces.append(trace("steps", start + ends, mean, line=line | {"width": 1.2, "dash": "solid"}, **look))
        steps, values, _ = _measured(run.history, f"val_{measure}", begin)
        mode = "lines+markers" if len(steps) <= 60 else "lines"  # markers while there is room for them
        dots = {"size": 5, "color": line["color"]}
        traces.append(trace("validation", steps, values, line=line, mode=mode, marker=dots))
        left = run.history.epochs[run.branch.epoch - 1] if run.branch else None
        if left and getattr(left, f"val_{measure}") is not None:
            ring = {"symbol": "circle-open", "size": 13, "color": line["color"], "line": {"width": 2}}
            told = f"{label} left run {run.branch.parent} here"
            look = {"mode": "markers", "marker": ring, "showlegend": False, "hoverinfo": "text", "text": [told]}
            traces.append(trace("branch", np.array([left.step]), [getattr(left, f"val_{measure}")], **look))
    hover = {"step": "d", "epoch": ".4~g", "time": ".4~g"}[x]
    yaxis = {"title": {"text": f"validation {measure}"}, "rangemode": "nonnegative", "hoverformat": ".4g"}
    layout = {
        "uirevision": f"{x} {' '.join(str(run.number) for run in runs)}",
        "xaxis": {"title": {"text": unit}, "rangemode": "nonnegative", "hoverformat": hover},
        "yaxis": yaxis | (_percent_axis(traces) if measure == "accuracy" else {}),
        "showlegend": True,
        "meta": {"log": measure == "loss", "label": f"Validation {measure} of {len(runs)} runs over {x}"},
    }
    return {"data": traces, "layout": layout}


def _places(run: Record, steps: np.ndarray, x: str) -> np.ndarray:
    """Where steps stand on the axis: between the ends of epochs by interpolation, and after the last one at the pace
    so far.
    """
    if x == "step" or not len(steps):
        return np.asarray(steps, dtype=float)
    count, columns = len(run.history.epochs), run.history.columns
    ends, values = (
        np.append(0, columns[name].values[:count]) for name in ("step", "epoch" if x == "epoch" else "seconds")
    )
    pace = 1 / max(run.steps_per_epoch, 1) if x == "epoch" else run.stepping / max(run.history.steps, 1)
    return np.interp(steps, ends, values) + np.maximum(np.asarray(steps) - ends[-1], 0) * pace


def _time_unit(runs: Sequence[Record]) -> tuple[str, float]:
    """The title of a time axis, and how many seconds one of its units has."""
    longest = max(_places(run, np.array([run.history.steps]), "time")[0] for run in runs)
    units = (("time (hours)", 3600), ("time (minutes)", 60), ("time (seconds)", 1))
    return next((title, seconds) for title, seconds in units if longest >= 2 * seconds or seconds == 1)
