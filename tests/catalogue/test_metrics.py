import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from dlcore.catalogue.metrics import accuracy, confusion, per_class

TARGETS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
FOUND = np.array([0, 1, 0, 1, 2, 2, 2, 0, 2])


def random_answers(classes, samples=200):
    return np.random.default_rng(classes).integers(0, classes, (2, samples))


def measured(targets, found, classes):
    return accuracy(torch.from_numpy(targets), torch.from_numpy(found), classes)


def test_accuracy_is_the_share_that_is_right():
    assert measured(TARGETS, FOUND, 3) == np.mean(TARGETS == FOUND) == 6 / 9
    assert type(measured(TARGETS, FOUND, 3)) is float  # it goes to JSON


def test_accuracy_of_answers_in_rows_is_the_share_of_all_of_them():
    assert measured(TARGETS.reshape(3, 3), FOUND.reshape(3, 3), 3) == 6 / 9


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_accuracy_equals_scikit_learns_to_the_last_bit(classes):
    for samples in (1, 10, 30, 200, 12345):
        targets, found = random_answers(classes, samples)
        assert measured(targets, found, classes) == accuracy_score(targets, found)


def test_nine_of_ten_reach_a_goal_of_nine_tenths():
    assert measured(np.zeros(10, int), np.array([0] * 9 + [1]), 2) >= 0.9


def test_confusion_counts_true_classes_in_rows_and_given_ones_in_columns():
    assert confusion(TARGETS, FOUND, 3).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 3]]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_confusion_on_random_answers_equals_scikit_learns_and_counting_one_by_one(classes):
    targets, found = random_answers(classes)
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (targets, found), 1)
    assert np.array_equal(confusion(targets, found, classes), counts)
    assert np.array_equal(confusion(targets, found, classes), confusion_matrix(targets, found))


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


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_per_class_figures_on_random_answers_equal_scikit_learns(classes):
    targets, found = random_answers(classes)
    rows = per_class(targets, found, tuple(map(str, range(classes))))
    theirs = precision_recall_fscore_support(targets, found)
    for column, values in zip(("precision", "recall", "f1", "samples"), theirs, strict=True):
        assert [row[column] for row in rows] == pytest.approx(values)


def test_a_class_that_is_never_given_and_never_there_has_zeros_and_no_warning():
    rows = per_class(np.array([0, 0, 1]), np.array([0, 0, 0]), ("a", "b", "c"))
    assert rows[1] == {"class": "b", "precision": 0, "recall": 0, "f1": 0, "samples": 1}
    assert rows[2] == {"class": "c", "precision": 0, "recall": 0, "f1": 0, "samples": 0}


def test_per_class_rows_hold_plain_numbers_only():
    kinds = {type(value) for row in per_class(TARGETS, FOUND, ("a", "b", "c")) for value in row.values()}
    assert kinds == {str, float, int}
