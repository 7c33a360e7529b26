"""How well a run tells the classes apart: which are mistaken for which, and each one's precision, recall and F1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dlcore.catalogue.metrics import confusion, per_class
from dlcore.engine.job import Moment
from pages.parts.columns import PERCENT, percent
from pages.parts.network_charts import confusion_figure
from pages.parts.state.tab import once

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("precision", "recall", "f1")


def class_scores(run: Moment | None, height: int) -> None:
    if not run or run.predicted is None:
        st.caption("After the first epoch: which classes are mistaken for which, on the validation samples.")
        return
    figure, scores = once("train/classes", (run.number, [*run.history.epochs[-1:]]), lambda: scored(run))
    left, right = st.columns(2)
    left.plotly_chart(figure, key="confusion")
    right.dataframe(scores, hide_index=True, height=height, column_config=dict.fromkeys(SHARES, PERCENT))


def scored(run: Moment) -> tuple[dict, pd.DataFrame]:
    import pandas as pd

    classes = run.recipe.task.classes
    figure = confusion_figure(confusion(run.targets, run.predicted, len(classes)), classes)
    return figure, percent(pd.DataFrame(per_class(run.targets, run.predicted, classes)), *SHARES)
