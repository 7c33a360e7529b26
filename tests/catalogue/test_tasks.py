import numpy as np
import torch

from dlcore.catalogue.losses import CrossEntropy
from dlcore.catalogue.spec import Classes, Features, NextToken, Numbers, Spec, Tokens
from dlcore.catalogue.tasks import Classification, NextTokenPrediction, Regression, task_of

POINT, TEXT = Features(("x", "y")), Tokens(("a", "b", "c"), 4)


def test_what_is_to_be_told_decides_the_task_and_the_shape_of_the_outputs():
    for spec, task, outputs in (
        (Spec(POINT, Classes(("no", "yes"))), Classification(("no", "yes")), (2,)),
        (Spec(POINT, Numbers(("u", "v", "w"))), Regression(("u", "v", "w")), (3,)),
        (Spec(TEXT, Classes(("no", "yes"))), Classification(("no", "yes")), (2,)),
        (Spec(TEXT, NextToken(("a", "b", "c"))), NextTokenPrediction(("a", "b", "c"), 4), (4, 3)),
    ):
        assert task_of(spec) == task
        assert task.outputs == outputs


def test_a_mean_is_over_samples_or_where_each_place_has_an_answer_over_tokens():
    targets = torch.zeros(5, 4, dtype=torch.int64)
    assert task_of(Spec(TEXT, NextToken(("a", "b", "c")))).weight(targets) == 20
    assert task_of(Spec(POINT, Numbers(("t", "u", "v", "w")))).weight(targets.float()) == 5
    assert task_of(Spec(POINT, Classes(("no", "yes")))).weight(targets[:, 0]) == 5


def test_the_next_tokens_answers_are_the_likeliest_ones_and_their_accuracy_a_share_of_tokens():
    task, random = task_of(Spec(TEXT, NextToken(("a", "b", "c")))), np.random.default_rng(0)
    outputs, targets = random.normal(size=(6, 4, 3)), random.integers(0, 3, (6, 4))
    answers = task.answers(torch.from_numpy(outputs), CrossEntropy())
    assert np.array_equal(answers, outputs.argmax(2))
    assert task.accuracy(torch.from_numpy(targets), answers) == np.mean(outputs.argmax(2) == targets)
    shares = task.predict(torch.from_numpy(outputs), CrossEntropy()).numpy()
    np.testing.assert_allclose(shares, np.exp(outputs) / np.exp(outputs).sum(2, keepdims=True))
