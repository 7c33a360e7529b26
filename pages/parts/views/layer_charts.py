"""Charts of layers over a film: small multiples, a panel a layer. Pure, as `charts`."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from dlcore.inside.layers import Moment
from pages.parts.charts import rounded
from pages.parts.run_looks import colour

COLUMNS, PANEL, GAP = 4, 120, 0.03  # panels a row, pixels of a row, and share of the width between panels
HEALTHY = "rgba(0,158,115,0.14)"


class Measure(NamedTuple):
    """What is drawn of a layer, and how to read it; Markdown."""

    title: str
    field: str  # of `Layer`
    log: bool
    band: tuple[float, float] | None  # where a healthy layer is
    how: str


MEASURES = (
    Measure(
        "Update ratio",
        "update_ratio",
        True,
        (3e-4, 3e-3),
        "How much an epoch's last step changed a layer's weights, as a share of them. The green band is a factor of "
        "three around one in a thousand, "
        "[Karpathy's rule of thumb](https://cs231n.github.io/neural-networks-3/#ratio): far above it the learning rate "
        "is too high, far below too low.",
    ),
    Measure(
        "Gradient norm",
        "gradient_norm",
        True,
        None,
        "How strongly the loss pulls at each layer. There is no healthy value; but the layers should be alike: one "
        "that is far lower than those after it hardly learns "
        "([Glorot & Bengio 2010](https://proceedings.mlr.press/v9/glorot10a.html)).",
    ),
    Measure(
        "Weight norm",
        "weight_norm",
        False,
        None,
        "How large a layer's weights are together. It should grow slowly, or settle; weights that run away want weight "
        "decay ([CS231n](https://cs231n.github.io/neural-networks-2/#reg)).",
    ),
    Measure(
        "Dead units",
        "dead",
        False,
        (0, 0.4),
        "The share of a layer's units that say the same whatever they are shown. The fewer the better; above the band, "
        "at 40 %, the learning rate was probably too high, says "
        "[CS231n](https://cs231n.github.io/neural-networks-1/#actfun).",
    ),
    Measure(
        "Saturated units",
        "saturated",
        False,
        (0, 0.05),
        "The share of tanh and sigmoid units that stand within 3 % of an end of their range, where they hardly learn. "
        "About 5 %, the band, is fine "
        "([Karpathy, makemore part 3](https://github.com/karpathy/nn-zero-to-hero)).",
    ),
)


def over_time_figure(number: int, moments: Sequence[Moment], measure: Measure) -> dict:
    """A panel for each layer in which there is something to measure, all with the same axes."""
    names = [layer.name for layer in moments[0].layers] if moments else []
    series = {
        name: [getattr(moment.layers[place], measure.field) for moment in moments] for place, name in enumerate(names)
    }
    series = {name: values for name, values in series.items() if any(value is not None for value in values)}
    rows = max(1, math.ceil(len(series) / COLUMNS))
    epochs = [moment.epoch for moment in moments]
    traces, annotations, shapes = [], [], []
    layout: dict = {
        "uirevision": f"layers {number} {measure.field}",
        "showlegend": False,
        "meta": {"label": f"{measure.title} of each layer after each epoch"},
        "margin": {"l": 56, "r": 8, "t": 24, "b": 32},
    }
    lowest, highest = _range([value for values in series.values() for value in values], measure)
    for place, (name, values) in enumerate(series.items()):
        row, column = divmod(place, COLUMNS)
        number_of = "" if place == 0 else str(place + 1)
        left = column * (1 + GAP) / COLUMNS
        top = 1 - row / rows
        bottom = top - 1 / rows + (0.3 / rows if rows > 1 else 0)
        across, up = [left, left + (1 + GAP) / COLUMNS - GAP], [max(bottom, 0), top]
        layout[f"xaxis{number_of}"] = {
            "domain": across,
            "anchor": f"y{number_of}",
            "range": [min(epochs), max(*epochs, min(epochs) + 1)],
            "showticklabels": place + COLUMNS >= len(series),
            "nticks": 4,
            "tickformat": "d",
            "hoverformat": "d",
        }
        layout[f"yaxis{number_of}"] = {
            "domain": up,
            "anchor": f"x{number_of}",
            "range": [lowest, highest],
            "type": "log" if measure.log else "linear",
            "showticklabels": column == 0,
            "nticks": 4,
            "tickformat": "~%" if measure.field in ("dead", "saturated") else ".0e" if measure.log else "~g",
            "hoverformat": ".1%" if measure.field in ("dead", "saturated") else ".3g",
        }
        at = {"xref": f"x{number_of} domain", "yref": f"y{number_of} domain"}
        title = {"text": html.escape(name, quote=False), "showarrow": False, "xanchor": "left", "yanchor": "bottom"}
        annotations.append(at | title | {"x": 0, "y": 1, "font": {"size": 12}})
        if measure.band:
            low, high = measure.band
            band = {"type": "rect", "x0": 0, "x1": 1, "y0": low, "y1": high, "layer": "below"}
            shapes.append(
                band | {"xref": at["xref"], "yref": f"y{number_of}", "line": {"width": 0}, "fillcolor": HEALTHY}
            )
        traces.append(
            {
                "type": "scatter",
                "uid": f"layer-{place}",
                "mode": "lines+markers" if len(epochs) == 1 else "lines",
                "name": html.escape(name, quote=False),
                "x": epochs,
                "y": rounded(
                    [math.nan if value is None or (measure.log and value == 0) else value for value in values]
                ),
                "xaxis": f"x{number_of}",
                "yaxis": f"y{number_of}",
                "line": {"color": colour(number), "width": 2},
            }
        )
    return {"data": traces, "layout": layout | {"annotations": annotations, "shapes": shapes}}


def height(layers: int) -> int:
    """Pixels of the figure, the chart's toolbar included."""
    return 90 + PANEL * max(1, math.ceil(layers / COLUMNS))


def _range(values: Sequence[float | None], measure: Measure) -> tuple[float, float]:
    """Of the axis that all panels share: the values and the band, with a little room; exponents on a log axis."""
    found = [value for value in (*values, *(measure.band or ())) if value is not None and math.isfinite(value)]
    if measure.log:
        found = [math.log10(value) for value in found if value > 0] or [-3]
        return min(found) - 0.2, max(found) + 0.2
    return 0.0, min(max(found, default=1) * 1.1, 1.02 if measure.field in ("dead", "saturated") else math.inf) or 1.0
