"""Figures of what a network answers."""

import json

import numpy as np
import plotly.graph_objects as go

from pages.parts.network_charts import confusion_figure


def test_confusion_counts_are_written_and_shares_are_coloured():
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ["no", "yes"])
    go.Figure(figure)  # plotly itself accepts it
    json.dumps(figure)
    (heat,) = figure["data"]
    assert heat["z"] == [[0.75, 0.25], [0.0, 0.0]]  # a class without samples is no division by zero
    assert heat["text"] == [[3, 1], [0, 0]]
    assert figure["layout"]["yaxis"]["autorange"] == "reversed"
