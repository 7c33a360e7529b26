import numpy as np
import pytest

from dlcore.catalogue.metrics import accuracy, confusion, per_class

TARGETS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
FOUND = np.array([0, 1, 0, 1, 2, 2, 2, 0, 2])


def test_accuracy_is_the_share_that_is_right():
    assert accuracy(TARGETS, FOUND) == np.mean(TARGETS == FOUND) == 6 / 9
    assert type(accuracy(TARGETS, FOUND)) is float  # it goes to JSON


def test_confusion_counts_true_classes_in_rows_and_given_ones_in_columns():
    assert confusion(TARGETS, FOUND, 3).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 3]]


def test_confusion_on_random_answers_equals_counting_one_by_one():
    random = np.random.default_rng(0)
    targets, found = random.integers(0, 5, (2, 200))
    counts = np.zeros((5, 5), dtype=int)
    np.add.at(counts, (targets, found), 1)
    assert np.array_equal(confusion(targets, found, 5), counts)


def test_confusion_keeps_its_shape_when_a_class_never_occurs():
    assert confusion(np.array([0, 0]), np.array([0, 2]), 4).tolist() == [[1, 0, 1, 0], [0] * 4, [0] * 4, [0] * 4]


def test_per_class_figures_equal_those_worked_out_by_hand():
    rows = per_class(TARGETS, FOUND, ("cat", "dog", "owl"))
    for number, (name, row) in enumerate(zip(("cat", "dog", "owl"), rows, strict=True)):
        right = np.sum((number == TARGETS) & (number == FOUND))
        precision, recall = right / np.sum(number == FOUND), right / np.sum(number == TARGETS)
        assert row["class"] == name
        assert row["precision"] == pytest.approx(precision)
        assert row["recall"] == pytest.approx(recall)
        assert row["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
        assert row["samples"] == np.sum(number == TARGETS)


def test_a_class_that_is_never_given_and_never_there_has_zeros_and_no_warning():
    rows = per_class(np.array([0, 0, 1]), np.array([0, 0, 0]), ("a", "b", "c"))
    assert rows[1] == {"class": "b", "precision": 0, "recall": 0, "f1": 0, "samples": 1}
    assert rows[2] == {"class": "c", "precision": 0, "recall": 0, "f1": 0, "samples": 0}


def test_per_class_rows_hold_plain_numbers_only():
    kinds = {type(value) for row in per_class(TARGETS, FOUND, ("a", "b", "c")) for value in row.values()}
    assert kinds == {str, float, int}
