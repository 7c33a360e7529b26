"""Charts: a run's curves -> a plotly figure, as plain dicts in plotly's JSON schema. Pure; knows no Streamlit.

A run keeps its colour everywhere. Steps are faint, training thin and dashed, validation bold. The lines of one run are
named at their ends, several runs have a legend. A figure's size does not depend on how long the run was
(`dlcore.curve`).
"""

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dlcore.curve import Curve
from dlcore.history import History
from dlcore.recipe import Recipe
from dlcore.runs.records import Record
from dlcore.studies import races
from pages.parts.axes import guessing, guessing_line, loss_axis, percent_axis, places, unit
from pages.parts.marks import flags
from pages.parts.run_looks import called, colour, dashes

BEST_SIZE = 14
NEAREST = -1  # pixels within which a point is told under the pointer: however far, where there is one an epoch only
FOR_LABELS = 68  # pixels at the right of one run's lines
STEP_POINTS, MEAN_POINTS, EPOCH_POINTS = 400, 200, 200
TENS = np.array([float(f"1e{power}") for power in range(309)])


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
            at, faint = losses.thin(STEP_POINTS)
            traces.append(_line(job, "each", "each step", at + 1, faint, width=1, opacity=0.25, hoverinfo="skip"))
        smoothed = "steps, smoothed" if len(runs) == 1 else f"{name}, steps"
        smooth = {"meta": {"smooth": True}, "opacity": 0.6, "showlegend": False}
        traces.append(_line(job, "steps", smoothed, ends, mean, width=1.2, **smooth, **look))
        if len(runs) == 1:
            traces.append(_named(_epochs(job, "training", "train_loss", thin_line=True, dash="dash")))
        line = _epochs(job, "validation" if len(runs) == 1 else name, "val_loss", **look)
        best = "best epoch" if job.recipe.task.classes else "best {:.3g}"  # by accuracy, if there is one
        traces.append(_named(line, best) if len(runs) == 1 else line)
    figure = _figure(jobs, beside, traces, "loss", "Loss over training steps", log=True)
    figure["layout"]["yaxis"] |= loss_axis(trace["y"] for trace in traces)
    return figure


def accuracy_figure(jobs: Sequence[Record], beside: Sequence[Record] = (), recipe: Recipe | None = None) -> dict:
    """Accuracy over steps, after each epoch; `beside` as in `loss_figure`, `recipe` of the run to come, while there is
    none.
    """
    traces, runs = [], [*jobs, *beside]
    for job, dash in zip(runs, dashes(runs), strict=True):
        name = called(job) if job in beside else races.label(job)
        look = {"legendgroup": str(job.number), "dash": dash} if len(runs) > 1 else {}
        if len(runs) == 1:
            traces.append(_named(_epochs(job, "training", "train_accuracy", thin_line=True, dash="dash")))
            traces.append(_named(_epochs(job, "validation", "val_accuracy"), "best {:.1%}"))
        else:
            quiet = {"showlegend": False, "opacity": 0.5}
            traces.append(_epochs(job, f"{name}, training", "train_accuracy", thin_line=True, **quiet, **look))
            traces.append(_epochs(job, name, "val_accuracy", **look))
    figure = _figure(jobs, beside, traces, "accuracy", "Accuracy over training steps", log=False)
    figure["layout"]["yaxis"] |= percent_axis() | {"showticklabels": True}
    figure["layout"]["hoverdistance"] = NEAREST
    shares = {guessing(run, run.recipe) for run in runs} or ({guessing(None, recipe)} if recipe else set())
    if len(shares) == 1 and None not in shares:  # runs on different data have no line in common
        figure["layout"]["shapes"] = [guessing_line(*shares), *figure["layout"].get("shapes", [])]
    return figure


def overlay_figure(runs: Sequence[Record], measure: str, x: str) -> dict:
    """Runs over each other by `step`, `epoch` or `time`: validation bold; beside the loss, the steps' means thin.

    A ring marks where a branch left its parent; if the parent is shown too, the branch begins there.
    """
    title, suffix, per = unit(runs, x)
    shown, traces = {run.number for run in runs}, []
    for run, dash in zip(runs, dashes(runs), strict=True):
        start, begin = (run.branch.step, run.branch.epoch) if run.branch and run.branch.parent in shown else (0, 1)
        line = {"color": colour(run.number), "width": 3, "dash": dash}
        label = html.escape(called(run), quote=False)

        def trace(part, steps, values, run=run, label=label, **look) -> dict:
            at = [float(f"{place:.7g}") for place in places(run, steps, x) / per]
            look = {"uid": f"{part}-{run.number}", "legendgroup": str(run.number), "mode": "lines", **look}
            return {"type": "scatter", "name": label, "x": at or [None], "y": rounded(values) or [None], **look}

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
    limits = percent_axis() if measure == "accuracy" else loss_axis(trace["y"] for trace in traces)
    layout = _layout(f"{x} {' '.join(str(run.number) for run in runs)}", title, suffix, f"validation {measure}")
    layout["xaxis"] |= {"hoverformat": hover}
    layout["hoverdistance"] = NEAREST
    layout["yaxis"] |= limits
    layout["meta"] |= {"log": measure == "loss", "label": f"Validation {measure} of {len(runs)} runs over {x}"}
    return {"data": traces, "layout": layout}


def _figure(
    jobs: Sequence[Record], beside: Sequence[Record], traces: list[dict], y: str, label: str, log: bool
) -> dict:
    runs = [*jobs, *beside]
    # Of a run beside that ended early, what it did not do is of no interest.
    reached = [run.total_steps if run.active else run.history.steps for run in beside]
    most = max([*(job.total_steps for job in jobs), *reached], default=0)
    layout = _layout(" ".join(str(run.number) for run in runs), "step", " steps", y)
    layout["meta"] |= {"log": log, "label": label}
    if most:  # the whole run from the start: the axis does not grow under the curves
        layout["xaxis"]["range"] = [0, most]
    if len(runs) <= 1:
        layout |= {"showlegend": False, "margin": {"r": FOR_LABELS}}
    if len(runs) == 1:
        layout |= flags(runs[0])
    if not runs:  # how far the axes will go is not known
        layout["xaxis"]["showticklabels"] = layout["yaxis"]["showticklabels"] = False
    return {"data": traces, "layout": layout}


def _layout(runs: str, x: str, suffix: str, y: str) -> dict:
    """What charts of these runs have in common. The unit of x stands behind the last of its numbers, and y over the
    chart, so that the lines have all the room.
    """
    return {
        # The zoom and the hidden lines belong to these runs; others start with a fresh view.
        "uirevision": runs,
        "xaxis": {
            "title": {"text": x},
            "tickformat": ",~r",  # plotly's own would say 5 and 10k
            "ticksuffix": suffix,
            "showticksuffix": "last",
            "rangemode": "nonnegative",
            "hoverformat": "d",
        },
        "yaxis": {"title": {"text": y}, "rangemode": "nonnegative", "hoverformat": ".4g"},
        "showlegend": True,
        "meta": {"heading": y, "group": f"{x} {runs}"},
    }


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
            "opacity": 1,  # plotly draws marks of different sizes faint
            "line": {"width": [1 if star else 0 for star in starred], "color": "#FFFFFF"},
        }
        line["text"] = ["best epoch" if star else "" for star in starred]
    # A mark on the edge, such as the last epoch's, is drawn whole.
    marked = size or "symbol" in marker  # plotly takes a size of 0 alone for its own default
    return line | {"mode": "lines+markers" if marked else "lines", "marker": marker, "cliponaxis": False}


def _named(line: dict, best: str = "") -> dict:
    """With its name at its end, and with words at its star, which may hold the value there."""
    meta = {"end": line["name"]}
    if best and "star" in line["marker"].get("symbol", ()):
        place = line["marker"]["symbol"].index("star")
        meta["best"] = [place, best.format(line["y"][place])]
    return line | {"meta": meta, "showlegend": False}


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


def rounded(values: ArrayLike) -> list[float]:
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
        "y": rounded(y) or [None],
        "line": {"color": colour(job.number), "width": width, "dash": dash},
        **look,
    }
