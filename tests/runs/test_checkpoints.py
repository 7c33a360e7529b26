"""Checkpoints: which network they fit, that their files are whole or not there, and which are kept."""

import io
import itertools
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dlcore.catalogue.architectures import CNN, MLP, ResNet18
from dlcore.catalogue.datasets import Mnist5k, load
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.engine.capture import network, restore
from dlcore.engine.training import build
from dlcore.recipe import Recipe
from dlcore.runs import checkpoints
from dlcore.runs.checkpoints import FORMAT, Checkpoint, CheckpointError, check_weights, fits, read, worth_keeping, write
from dlcore.settings import choices
from tests.capturing import RECIPE, same, taken
from tests.running import changed

# Networks that fit


@pytest.mark.parametrize(
    ("recipe", "fit"),
    [
        (changed(RECIPE, optimizer=SGD(), batch_size=7, epochs=99, seed=5), True),
        (changed(RECIPE, model=MLP(widths=(8, 8), dropout=0.9, batch_norm=True)), True),
        (changed(RECIPE, model=MLP(widths=(8, 8), dropout=0.3)), False),
        (changed(RECIPE, model=MLP(widths=(8, 9), dropout=0.3, batch_norm=True)), False),
        (changed(RECIPE, model=MLP(widths=(8,), dropout=0.3, batch_norm=True)), False),
        (changed(RECIPE, data=Mnist5k()), False),
        (changed(RECIPE, data=Mnist5k(), model=CNN()), False),
    ],
)
def test_weights_fit_the_same_network_alone(recipe, fit):
    assert fits(RECIPE, recipe) == fit
    checkpoint = taken()
    if fit:
        check_weights(checkpoint, recipe)
        restore(build(recipe, load(recipe.data)), checkpoint)
        return
    for attempt in (
        lambda: check_weights(checkpoint, recipe),
        lambda: network(recipe, checkpoint),
        lambda: restore(build(recipe, load(recipe.data)), checkpoint),
    ):
        with pytest.raises(CheckpointError, match=f"another network than this {recipe.model.kind}"):
            attempt()


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_weights_of_other_digits_are_those_of_another_network(kind):
    """Samples could not pass through them."""
    checkpoint = taken()
    name = list(checkpoint.model)[-1]
    other = replace(checkpoint, model=checkpoint.model | {name: checkpoint.model[name].to(kind)})
    for attempt in (
        lambda: check_weights(other, RECIPE),
        lambda: network(RECIPE, other),
        lambda: restore(build(RECIPE, load(RECIPE.data)), other),
    ):
        with pytest.raises(CheckpointError, match="another network than this mlp"):
            attempt()


@pytest.mark.parametrize("recipe", [RECIPE, Recipe(model=CNN(channels=(3, 4), dense=4), batch_size=8)])
@pytest.mark.parametrize("kind", choices(Optimizer))
def test_the_memory_of_every_optimizer_fits_its_own_network(kind, recipe):
    """And what is of any other shape does not, which would fail at the first step."""
    checkpoint = taken(recipe := changed(recipe, optimizer=choices(Optimizer)[kind]()), 3)
    check_weights(checkpoint, recipe)
    for name, value in checkpoint.optimizer["state"][0].items():
        for other in (torch.zeros(3), torch.zeros(()), torch.zeros(1, *value.shape), value.to_sparse(), [1.0], "7"):
            if not torch.is_tensor(other) or other.is_sparse or other.shape != value.shape:
                state = {0: checkpoint.optimizer["state"][0] | {name: other}}
                forged = replace(checkpoint, optimizer=checkpoint.optimizer | {"state": state})
                with pytest.raises(CheckpointError, match="its optimizer's memory does not fit this run"):
                    check_weights(forged, recipe)
                check_weights(forged, changed(recipe, optimizer=SGD() if kind != "sgd" else Adam()))  # starts without


@pytest.mark.parametrize("kind", ["sgd", "rmsprop"])
def test_a_memory_that_came_or_went_with_the_momentum_fits(kind):
    for before, after in ((0.0, 0.9), (0.9, 0.0)):
        recipes = [
            changed(RECIPE, optimizer=choices(Optimizer)[kind](momentum=momentum)) for momentum in (before, after)
        ]
        check_weights(taken(recipes[0]), recipes[1])


def test_a_memory_of_other_parameters_does_not_fit():
    checkpoint = taken()
    (group,), count = (
        checkpoint.optimizer["param_groups"],
        len(list(build(RECIPE, load(RECIPE.data)).model.parameters())),
    )
    forgeries = [{"param_groups": [group, group]}, {"param_groups": []}, {"state": {count: {}}}, {"state": {-1: {}}}]
    forgeries += [{"param_groups": [group | {"params": [*group["params"], 99]}]}]
    for forged in forgeries:
        with pytest.raises(CheckpointError, match="its optimizer's memory does not fit this run"):
            check_weights(replace(checkpoint, optimizer=checkpoint.optimizer | forged), RECIPE)


def test_a_network_that_cannot_be_built_here_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)  # as where torch and torchvision do not fit together
    with pytest.raises(CheckpointError, match="its network cannot be built, for torchvision cannot be loaded"):
        check_weights(taken(), Recipe(model=ResNet18()))


# Writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_what_is_written_is_read_again(tmp_path, kind):
    checkpoint = taken(changed(RECIPE, optimizer=choices(Optimizer)[kind]()))
    write(checkpoint, tmp_path / "epoch-1.pt")
    assert same(vars(read(tmp_path / "epoch-1.pt")), vars(checkpoint))
    assert names(tmp_path) == ["epoch-1.pt"]


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    """Writing that breaks off leaves what was there before."""
    file = tmp_path / "epoch-1.pt"
    write(taken(steps=3), file)
    before, original = file.read_bytes(), torch.save

    def break_off(values, place):
        part = io.BytesIO()
        original(values, part)
        place.write_bytes(part.getvalue()[:1000])
        assert file.read_bytes() == before  # while it is being written, too
        raise errors.pop()

    monkeypatch.setattr(torch, "save", break_off)
    hidden = RuntimeError("[enforce fail] unexpected pos 64 vs 0\nmore")
    for error, room, told in [
        (OSError(28, "No space left on device"), 10**9, "No space left"),
        (hidden, 10**9, r"writing epoch-1\.pt failed: .* vs 0$"),
        (hidden, 100, "No space left.*epoch-1"),
    ]:
        errors = [error]
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, room=room: SimpleNamespace(free=room))
        with pytest.raises(OSError, match=told):
            write(taken(), file)
        assert file.read_bytes() == before
        assert names(tmp_path) == ["epoch-1.pt"]  # and the room is free for others


@pytest.mark.slow
def test_a_disk_without_room_is_an_oserror(tmp_path):
    """For real: a child process that may write 4,000 bytes a file."""
    program = f"""
import resource, sys
from dlcore.runs.checkpoints import write
from tests.capturing import taken
checkpoint = taken()
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    write(checkpoint, __import__("pathlib").Path({str(tmp_path / "epoch-1.pt")!r}))
except OSError as error:
    print(error)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=200)
    assert "File too large" in done.stdout or "failed" in done.stdout, done.stderr
    assert names(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # ours is as it was


# Which to keep


@pytest.mark.parametrize("best", [0, 1, 7, 333, 1000])
def test_the_last_two_the_best_and_ten_to_twenty_along_the_way_are_kept(best):
    kept = set()
    for epoch in range(1, 1001):
        kept = worth_keeping(kept | {epoch}, best if best <= epoch else 0, size=1000)
        assert {epoch, max(1, epoch - 1)} <= kept
        assert not best or best > epoch or best in kept
        even = sorted(kept - {epoch, epoch - 1, best})
        assert len(even) <= checkpoints.KEPT
        if epoch > 25:
            assert len(even) >= checkpoints.KEPT // 2 - 3
            gaps = {later - sooner for sooner, later in itertools.pairwise(even)}
            stride = even[0] if even[0] != best else even[1]
            assert gaps <= {stride, 2 * stride}  # twice where the best one stands in between


def test_large_checkpoints_are_fewer():
    large = worth_keeping(range(1, 101), 50, size=checkpoints.ROOM // 4)
    assert {50, 99, 100} <= large
    assert len(large) <= 4 + 3
    assert worth_keeping(range(1, 101), 50, size=checkpoints.ROOM * 10) == {50, 99, 100}


def test_nothing_to_keep_is_nothing():
    assert worth_keeping([], 0, 1) == set()


def test_what_a_checkpoint_holds_changes_with_its_format_alone():
    """Whoever raises FORMAT brings the old ones along."""
    assert {field: type(value).__name__ for field, value in vars(taken()).items()} == {
        **{"epochs": "int", "place": "int", "step": "int", "elapsed": "float", "stepping": "float"},
        **{"working": "float", "seed": "int", "optimizer_kind": "str", "model": "dict", "optimizer": "dict"},
        **{"random": "dict", "mean": "Tensor", "std": "Tensor", "format": "int"},
    }, "a checkpoint holds something else than format 1 did: raise FORMAT, and read the old ones too"
    assert FORMAT == 1
    assert isinstance(replace(taken(), epochs=2), Checkpoint)
