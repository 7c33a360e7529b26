"""Metrics of a classifier, by torchmetrics, which is imported when first needed: a dashboard starts without it."""

from __future__ import annotations

import numpy as np

from dlcore.later import torch


def accuracy(targets: torch.Tensor, predicted: torch.Tensor, classes: int) -> float:
    """Share of answers, of whatever shape, whose class is right."""
    from torchmetrics.functional.classification import multiclass_stat_scores

    # Counted, and divided here: its own accuracy is rounded to float32, and a goal of 0.9 would be missed at 90%.
    counts = multiclass_stat_scores(predicted, targets, classes, average="micro", validate_args=False)
    right, *_, answers = counts.tolist()
    return right / answers


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many samples of each true class (row) were given each class (column), (classes, classes)."""
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    return multiclass_confusion_matrix(*_tensors(predicted, targets), classes, validate_args=False).numpy()


def per_class(targets: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> list[dict]:
    """A row a class: precision, recall and F1 as shares of 1 (0 where there is nothing to divide by), and samples."""
    from torchmetrics.functional.classification import multiclass_f1_score, multiclass_precision, multiclass_recall

    measures = {"precision": multiclass_precision, "recall": multiclass_recall, "f1": multiclass_f1_score}
    answers = _tensors(predicted, targets)
    columns = {"class": list(classes)}
    for name, measure in measures.items():
        columns[name] = measure(*answers, len(classes), average="none", validate_args=False).tolist()
    columns["samples"] = np.bincount(targets, minlength=len(classes)).tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(map(torch.from_numpy, arrays))
