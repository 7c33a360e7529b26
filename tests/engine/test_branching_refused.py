"""Branches that cannot be, each told in a sentence, with nothing left behind."""

import pytest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Mnist5k
from dlcore.catalogue.optimizers import SGD
from dlcore.engine.conductor import Conductor
from dlcore.runs.branching import branch_problems
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError
from tests.running import DROPPING, changed, opened

pytestmark = pytest.mark.usefixtures("quick_saving")


@pytest.fixture
def conductor(tmp_path):
    with opened(tmp_path / "runs") as found:
        yield found


@pytest.mark.parametrize(
    ("recipe", "epoch", "setting", "words"),
    [
        (changed(DROPPING, model=MLP(widths=(9,), dropout=0.5)), 3, "model", "the network must be the same"),
        (changed(DROPPING, model=MLP(widths=(8, 8), dropout=0.5)), 3, "model", "activation and dropout may change"),
        (changed(DROPPING, data=Mnist5k()), 3, "model", "the network must be the same"),
        (
            changed(DROPPING, epochs=3),
            3,
            "epochs",
            "epochs is 3, but the branch begins after epoch 3; the nearest is 4",
        ),
        (changed(DROPPING, optimizer=SGD(nesterov=True, momentum=0)), 3, "optimizer.nesterov", "needs momentum"),
    ],
)
def test_a_recipe_that_cannot_go_on_from_there_is_refused(conductor, parent, recipe, epoch, setting, words):
    with pytest.raises(SettingsError) as caught:
        conductor.branch(parent.number, epoch, "branch", recipe)
    assert [problem.setting for problem in caught.value.problems] == [setting]
    assert words in str(caught.value)
    assert [problem.text for problem in branch_problems(DROPPING, epoch, recipe)] == [str(caught.value)]
    assert len(conductor.store.rows()) == len(conductor.jobs) == 1


def test_every_problem_of_a_branch_is_told_at_once():
    recipe = changed(DROPPING, model=MLP(widths=(9,)), epochs=2)
    assert {problem.setting for problem in branch_problems(DROPPING, 3, recipe)} == {"model", "epochs"}


def test_a_place_that_is_not_there_is_a_sentence(conductor, parent):
    with pytest.raises(StoreError, match="There is no run 77"):
        conductor.branch(77, 1, "branch", DROPPING)
    with pytest.raises(StoreError, match=r"has no checkpoint of epoch 7; it has those of epochs: 1, 2, 3, 4, 5, 6\."):
        conductor.branch(parent.number, 7, "branch", DROPPING)
    with pytest.raises(StoreError, match="has no checkpoint of epoch 0"):
        conductor.branch(parent.number, 0, "branch", DROPPING)
    with pytest.raises(StoreError, match="Runs are not kept here"):
        Conductor().branch(parent.number, 1, "branch", DROPPING)
    with pytest.raises(SettingsError, match="A run's name is one line"):
        conductor.branch(parent.number, 1, "a\nb", DROPPING)
    assert conductor.jobs == [parent]


@pytest.mark.parametrize("content", [b"", b"notes", None])
def test_a_damaged_checkpoint_makes_no_branch(conductor, parent, content):
    (kept,) = [one for one in conductor.store.checkpoints(parent.number) if one.epoch == 3]
    kept.file.write_bytes(kept.file.read_bytes()[:1000] if content is None else content)
    with pytest.raises(StoreError, match="The checkpoint of epoch 3 of run 1 cannot be used: it is damaged"):
        conductor.branch(parent.number, 3, "branch", DROPPING)
    assert len(conductor.store.rows()) == 1


def test_a_branch_that_cannot_be_kept_leaves_nothing_behind(conductor, parent, monkeypatch):
    monkeypatch.setattr(Store, "_save_checkpoints", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StoreError, match="No space left; make room there"):
        conductor.branch(parent.number, 3, "branch", DROPPING)
    assert len(conductor.store.rows()) == 1
    assert sorted(path.name for path in conductor.store.root.iterdir() if path.is_dir()) == ["1"]
    assert conductor.jobs == [parent]
