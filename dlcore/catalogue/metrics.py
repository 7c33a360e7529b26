"""Metrics of a classifier, by scikit-learn, which is imported when first needed: a dashboard starts without it."""

import numpy as np


def accuracy(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Share of samples (N,) whose class is right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(targets, predicted))


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many samples of each true class (row) were given each class (column), (classes, classes)."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(targets, predicted, labels=range(classes))


def per_class(targets: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> list[dict]:
    """A row a class: precision, recall and F1 as shares of 1 (0 where there is nothing to divide by), and samples."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = range(len(classes))
    columns = precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=0)
    names = ("precision", "recall", "f1", "samples")
    return [
        {"class": name, **{column: value.item() for column, value in zip(names, row, strict=True)}}
        for name, row in zip(classes, zip(*columns, strict=True), strict=True)
    ]
