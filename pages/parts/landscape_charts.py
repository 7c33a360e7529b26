"""Charts of landscapes: the loss around runs, and optimizers that walk on a surface. Pure, as `charts`."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from dlcore.inside.landscape import Landscape, Path
from dlcore.inside.surfaces import Descent, Surface
from pages.parts.charts import rounded
from pages.parts.run_looks import COLOURS, colour

# From the lowest to the highest; light where paths end, so that their colours are seen in both themes.
HEIGHTS = [[0, "#F2F5F7"], [0.5, "#9FB2C3"], [1, "#34495E"]]
QUIET = "#8C8C8C"  # words in a picture in space, where the page's style does not reach: read on both grounds
LOWEST = 1e-9  # loss that a log scale shows
NEAREST = 3e-4  # of a surface's range: what is nearer to its lowest place looks the same
TITLES = {
    "film": ("first principal component", "second principal component"),
    "random": ("first random direction", "second random direction"),
}
LINES, LEVELS = {"width": 0.5, "color": "rgba(255,255,255,0.6)"}, 20
PIXELS, MOST_FRAMES, MOST_POINTS = 600, 100, 250
PLACES = 41  # along each side, at which a click sets the start


def contour_figure(found: Landscape, names: Mapping[int, str], epoch: int | None = None) -> dict:
    """From above: lines of equal loss and the paths of the runs, which `names` calls by their numbers."""
    x, y = (rounded(axis) for axis in found.axes)
    logs = _logs(found.loss)
    texts = [[f"{loss:.4g}" if math.isfinite(loss) else "no number" for loss in row] for row in found.loss]
    ground = {"type": "contour", "x": x, "y": y, "z": [rounded(row) for row in logs], "text": texts}
    ground |= {"hovertemplate": "loss %{text}<extra></extra>", "colorscale": HEIGHTS, "name": "loss"}
    ground |= {"line": LINES, "contours": _levels(logs), "colorbar": _bar(logs, "loss")}
    traces = [ground, *(trace for path in found.paths for trace in _path(path, names, epoch))]
    titles = TITLES[found.plane]
    layout = {
        "uirevision": f"landscape {found.plane} {[path.run for path in found.paths]}",
        "hovermode": "closest",
        "showlegend": len(found.paths) > 1,
        "xaxis": {"title": {"text": titles[0]}, "range": [x[0], x[-1]], "showgrid": False},
        "yaxis": {"title": {"text": titles[1]}, "range": [y[0], y[-1]], "showgrid": False},
        "meta": {"label": "The loss around the run, from above"},
    }
    return {"data": traces, "layout": layout}


def surface_figure(found: Landscape, names: Mapping[int, str], epoch: int | None = None) -> dict:
    """In space: the loss as height; the paths on the plane's loss, and dotted at their true loss."""
    logs = _logs(found.loss)
    ground = {"type": "surface", "x": rounded(found.axes[0]), "y": rounded(found.axes[1])}
    ground |= {"z": [rounded(row) for row in logs], "colorscale": HEIGHTS, "colorbar": _bar(logs, "loss")}
    ground["lighting"] = {"ambient": 0.75, "diffuse": 0.6, "specular": 0.05}
    ground |= {"hoverinfo": "skip", "contours": {"x": {"highlight": False}, "y": {"highlight": False}}}
    traces = [ground]
    for path in found.paths:
        name, ink = html.escape(names.get(path.run, f"run {path.run}"), quote=False), colour(path.run)
        place = {"x": rounded([point.x for point in path.points]), "y": rounded([point.y for point in path.points])}
        for which, dash in (("loss_in_plane", "solid"), ("loss_true", "dot")):
            heights = rounded(_logs(np.array([getattr(point, which) for point in path.points])))
            look = {"type": "scatter3d", "uid": f"{which}-{path.run}", "line": {"color": ink, "width": 4, "dash": dash}}
            sizes = [7 if point.epoch == epoch else 3 for point in path.points]
            look |= {"mode": "lines+markers", "marker": {"size": sizes, "color": ink}, "text": _told(path)}
            look |= {"name": name if dash == "solid" else f"{name}, true", "hovertemplate": "%{text}<extra></extra>"}
            traces.append(look | place | {"z": heights})
    axis = {"color": QUIET, "gridcolor": "rgba(140,140,140,0.3)", "showbackground": False, "zeroline": False}
    values, words = _ticks(logs)
    names_of_axes = (*TITLES[found.plane], "loss")
    scene = {
        f"{letter}axis": axis | {"title": {"text": title}} for letter, title in zip("xyz", names_of_axes, strict=True)
    }
    scene["zaxis"] |= {"tickvals": values, "ticktext": words}
    scene |= {
        "camera": {"eye": {"x": 1.5, "y": -1.8, "z": 1.1}, "center": {"x": 0, "y": 0, "z": -0.2}},
        "aspectmode": "manual",
    }
    scene["aspectratio"] = {"x": 1.3, "y": 1.3, "z": 0.8}
    layout = {"uirevision": "landscape in space", "scene": scene, "hovermode": "closest"}
    return {"data": traces, "layout": layout | {"meta": {"label": "The loss around the run, as a surface"}}}


def walks_figure(surface: Surface, walks: Mapping[str, Descent]) -> dict:
    """Walks on a surface by their names, with a frame for each of some steps: dots that walk along lines."""
    traces = [_places(surface)]
    if surface.minima:
        mark = {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": "#1F2D3A"}}
        where = {"x": [place[0] for place in surface.minima], "y": [place[1] for place in surface.minima]}
        traces.append(
            {"type": "scatter", "mode": "markers", "name": "minimum", "marker": mark, "showlegend": False, **where}
        )
    longest = max((len(walk.places) for walk in walks.values()), default=1)
    for number, (name, walk) in enumerate(walks.items()):
        line = {"color": COLOURS[number % len(COLOURS)], "width": 2}
        places = walk.places[_thin(len(walk.places), MOST_POINTS)]
        look = {"type": "scatter", "mode": "lines", "name": html.escape(name, quote=False), "line": line}
        traces.append(look | _at(places) | {"hoverinfo": "skip", "legendgroup": str(number)})
    first = len(traces)
    for number, walk in enumerate(walks.values()):
        ink = {"size": 11, "color": COLOURS[number % len(COLOURS)], "line": {"width": 1.5, "color": "#FFFFFF"}}
        dot = {"type": "scatter", "mode": "markers", "marker": ink, "showlegend": False, "legendgroup": str(number)}
        traces.append(dot | {"hoverinfo": "skip"} | _at(walk.places[-1:]))
    steps = _thin(longest, MOST_FRAMES)
    frames = [
        {
            "name": str(step),
            "data": [_at(walk.places[min(step, len(walk.places) - 1)][None]) for walk in walks.values()],
            "traces": list(range(first, len(traces))),
        }
        for step in map(int, steps)
    ]
    layout = {
        "hovermode": "closest",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "images": [_ground(surface)],
        "xaxis": {"title": {"text": "x"}, "range": list(surface.domain[0]), "showgrid": False, "zeroline": False},
        "yaxis": {"title": {"text": "y"}, "range": list(surface.domain[1]), "showgrid": False, "zeroline": False},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        **(_player(frames) if walks else {}),
    }
    return {"data": traces, "layout": layout, "frames": frames}


def _ground(surface: Surface) -> dict:
    """The heights as bands of colour. A picture below the chart: plotly takes a contour away as soon as dots walk."""
    _, _, heights = surface.heights(PIXELS)
    logs = np.log10(np.maximum(heights - heights.min(), NEAREST * np.ptp(heights)))
    bands = np.floor((logs - logs.min()) / np.ptp(logs) * LEVELS).clip(0, LEVELS - 1).astype(np.uint8)
    known = np.array([[int(ink[place : place + 2], 16) for place in (1, 3, 5)] for _, ink in HEIGHTS])
    shares = np.linspace(0, 1, LEVELS)
    inks = np.stack([np.interp(shares, [place for place, _ in HEIGHTS], part) for part in known.T], 1)
    picture, file = Image.fromarray(bands[::-1]), io.BytesIO()  # y goes upwards
    picture.putpalette(inks.round().astype(np.uint8).tobytes())
    picture.save(file, "png", optimize=True)
    (left, right), (low, high) = surface.domain
    look = {"xref": "x", "yref": "y", "x": left, "y": high, "sizex": right - left, "sizey": high - low}
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return look | {"source": source, "sizing": "stretch", "layer": "below"}


def _player(frames: Sequence[dict]) -> dict:
    """Play, and a slider over the steps."""
    quick = {"frame": {"duration": 60, "redraw": False}, "transition": {"duration": 0}, "mode": "immediate"}
    play = {"label": "▶", "method": "animate", "args": [None, quick | {"fromcurrent": False}]}
    stop = {"label": "❚❚", "method": "animate", "args": [[None], quick]}
    steps = [{"label": one["name"], "method": "animate", "args": [[one["name"]], quick]} for one in frames]
    slider = {"active": len(frames) - 1, "steps": steps, "currentvalue": {"prefix": "step "}, "x": 0.2, "len": 0.8}
    slider |= {"pad": {"t": 36}, "font": {"size": 11}, "ticklen": 0, "minorticklen": 0}
    buttons = {"type": "buttons", "direction": "left", "buttons": [play, stop], "x": 0, "xanchor": "left"}
    buttons |= {"y": 0, "yanchor": "top", "pad": {"t": 44}, "showactive": False, "font": {"color": QUIET}}
    return {"sliders": [slider], "updatemenus": [buttons]}


def _places(surface: Surface) -> dict:
    """Points that are not seen and can be clicked."""
    x, y = (np.linspace(*ends, PLACES) for ends in surface.domain)
    unseen = {"opacity": 0, "size": 12}
    look = {"type": "scatter", "mode": "markers", "name": "places", "marker": unseen, "showlegend": False}
    look |= {"selected": {"marker": {"opacity": 0}}, "unselected": {"marker": {"opacity": 0}}}
    across, up = np.meshgrid(x, y)
    look |= {"x": rounded(across.ravel()), "y": rounded(up.ravel())}
    return look | {"hovertemplate": "start at %{x:.3g}, %{y:.3g}<extra></extra>"}


def _path(path: Path, names: Mapping[int, str], epoch: int | None) -> list[dict]:
    """A run's path: a line, its start as a ring, its end as a star, the epoch that is looked at as a larger dot."""
    name, ink, points = html.escape(names.get(path.run, f"run {path.run}"), quote=False), colour(path.run), path.points
    last = len(points) - 1
    ends = ["circle-open" if place == 0 else "star" if place == last else "circle" for place in range(len(points))]
    sizes = [
        13 if point.epoch == epoch or place in (0, last) else 6 if len(points) <= 60 else 3
        for place, point in enumerate(points)
    ]
    edges = {"width": [2 if place == 0 else 1 for place in range(len(points))]}
    edges["color"] = [ink if place == 0 else "#FFFFFF" for place in range(len(points))]
    place = {"x": rounded([point.x for point in points]), "y": rounded([point.y for point in points])}
    look = {"type": "scatter", "mode": "lines+markers", "uid": f"path-{path.run}", "name": name, "text": _told(path)}
    look |= {"line": {"color": ink, "width": 2}, "hovertemplate": f"{name}<br>%{{text}}<extra></extra>"}
    return [look | {"marker": {"symbol": ends, "size": sizes, "color": ink, "line": edges}} | place]


def _told(path: Path) -> list[str]:
    return [
        f"epoch {point.epoch}<br>true loss {point.loss_true:.4g}<br>loss in the plane {point.loss_in_plane:.4g}"
        for point in path.points
    ]


def _at(places: np.ndarray) -> dict:
    return {"x": rounded(places[:, 0]), "y": rounded(places[:, 1])}


def _thin(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _logs(heights: np.ndarray, lowest: float = LOWEST) -> np.ndarray:
    """Decimal logarithms; NaN for what is no finite number."""
    with np.errstate(invalid="ignore"):
        return np.log10(np.where(np.isfinite(heights), np.maximum(heights, lowest), np.nan))


def _levels(logs: np.ndarray) -> dict:
    """Where the lines are: said outright, since plotly finds none for what is not known yet, or even."""
    known = logs[np.isfinite(logs)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return {"start": low, "end": high, "size": max(high - low, 1e-6) / LEVELS}


def _ticks(logs: np.ndarray) -> tuple[list[float], list[str]]:
    """Round numbers within a range of logarithms, up to about eight."""
    known = logs[np.isfinite(logs)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    tens = range(math.floor(low), math.ceil(high) + 1)
    digits = (1, 2, 5) if high - low < 3 else (1,)
    marks = [digit * 10.0**ten for ten in tens for digit in digits if low <= math.log10(digit * 10.0**ten) <= high]
    marks = marks[:: math.ceil(len(marks) / 8)] if len(marks) >= 2 else [10**low, 10**high]
    return [math.log10(mark) for mark in marks], [f"{mark:.3g}" for mark in marks]


def _bar(logs: np.ndarray, title: str) -> dict:
    values, words = _ticks(logs)
    look = {"title": {"text": title}, "thickness": 10, "outlinewidth": 0, "tickfont": {"color": QUIET}}
    return look | {"tickvals": values, "ticktext": words}
