import io
import itertools
import math
import os
import pickle
import resource
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcore.catalogue.architectures import CNN, MLP, ResNet18
from dlcore.catalogue.datasets import Mnist5k, Moons, load
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.engine.capture import capture, network, restore
from dlcore.engine.predicting import predict
from dlcore.engine.randomness import RandomState
from dlcore.engine.training import Place, Step, build, train
from dlcore.recipe import Recipe
from dlcore.runs import checkpoints
from dlcore.runs.checkpoints import (
    FORMAT,
    Checkpoint,
    CheckpointError,
    check_weights,
    fits,
    read,
    worth_keeping,
    write,
)
from dlcore.settings import choices
from tests.running import changed

RECIPE = Recipe(
    data=Moons(samples=200),
    model=MLP(widths=(8, 8), dropout=0.3, batch_norm=True),
    optimizer=Adam(lr=0.01),
    batch_size=32,
    epochs=3,
)
CLOCKS = {"step": 5, "elapsed": 1.5, "stepping": 1.0, "working": 1.25}


def trained(recipe=RECIPE, steps=5):
    """A run that has taken some steps, with the state of its random numbers then."""
    run = build(recipe, load(recipe.data))
    events = train(run)
    while steps:
        steps -= isinstance(next(events), Step)
    return run, RandomState("cpu")


def taken(recipe=RECIPE, steps=5):
    return capture(*trained(recipe, steps), 1, 1, **CLOCKS)


def same(one, other):
    """Whether two nested values hold the same, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    file = tmp_path_factory.mktemp("whole") / "epoch-1+1.pt"
    write(taken(), file)
    return file.read_bytes()


@pytest.fixture
def file(tmp_path, content):
    """A checkpoint on disk."""
    (tmp_path / "epoch-1+1.pt").write_bytes(content)
    return tmp_path / "epoch-1+1.pt"


# Taking and giving back


def test_a_checkpoint_is_a_copy_that_further_training_leaves_alone():
    run, state = trained()
    checkpoint, twin = (capture(run, state, 1, 1, **CLOCKS) for _ in range(2))
    for _ in zip(range(4), train(run, Place(1, 1)), strict=False):
        pass
    assert same(vars(checkpoint), vars(twin))
    assert not same(checkpoint.model, run.model.state_dict())
    assert not same(checkpoint.optimizer["state"], run.optimizer.state_dict()["state"])


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_what_trains_on_from_a_checkpoint_leaves_it_alone(kind):
    recipe = changed(RECIPE, optimizer=choices(Optimizer)[kind]())
    checkpoint, twin = taken(recipe), taken(recipe)
    run = build(recipe, load(recipe.data))
    restore(run, checkpoint)
    for _ in zip(range(4), train(run, Place(1, 1)), strict=False):
        pass
    assert same(vars(checkpoint), vars(twin))


def test_all_of_a_run_is_given_back():
    run, state = trained()
    checkpoint = capture(run, state, 1, 1, **CLOCKS)
    other = build(RECIPE, load(RECIPE.data))
    torch.rand(3)
    random_state, place = restore(other, checkpoint)
    assert place == Place(1, 1)
    assert same(other.model.state_dict(), run.model.state_dict())
    assert same(other.optimizer.state_dict(), run.optimizer.state_dict())
    assert same(random_state.states, state.states)


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_a_memory_that_is_laid_out_as_on_another_device_goes_on_the_same_to_the_bit(kind):
    """Fused steps go through weights and memory side by side, wherever these lie."""
    recipe = Recipe(model=CNN(channels=(3, 4), dense=4), optimizer=choices(Optimizer)[kind](), batch_size=8)
    before = taken(recipe, 3)
    plain = [
        {name: value.contiguous() if torch.is_tensor(value) else value for name, value in state.items()}
        for state in before.optimizer["state"].values()
    ]
    other = replace(before, optimizer=before.optimizer | {"state": dict(enumerate(plain))})
    ends = []
    for checkpoint in (before, other):
        run = build(recipe, load(recipe.data))
        random_state, _ = restore(run, checkpoint)
        random_state.restore()
        for _ in zip(range(2), train(run, Place(0, 3)), strict=False):
            pass
        ends.append(run.model.state_dict())
    assert same(*ends)


def test_settings_of_the_optimizer_follow_the_recipe_and_its_memory_the_checkpoint():
    checkpoint = taken()
    recipe = changed(RECIPE, optimizer=Adam(lr=0.5, beta1=0.5, weight_decay=0.25))
    run = build(recipe, load(recipe.data))
    restore(run, checkpoint)
    (group,) = run.optimizer.param_groups
    assert (group["betas"][0], group["weight_decay"]) == (0.5, 0.25)
    assert group["lr"] == 0.01  # of the last step, as an epoch's end tells; the next step sets its own
    assert same(run.optimizer.state_dict()["state"], checkpoint.optimizer["state"])


def test_another_optimizer_starts_with_no_memory():
    recipe = changed(RECIPE, optimizer=SGD())
    run = build(recipe, load(recipe.data))
    checkpoint = taken()
    restore(run, checkpoint)
    assert run.optimizer.state_dict()["state"] == {}
    assert run.optimizer.param_groups[0]["lr"] == SGD().lr
    assert same(run.model.state_dict(), checkpoint.model)


def test_another_seed_has_random_numbers_of_its_own():
    recipe, checkpoint = changed(RECIPE, seed=7), taken()
    run = build(recipe, load(recipe.data))
    expected = RandomState("cpu").states
    state, _ = restore(run, checkpoint)
    assert same(state.states, expected)


def test_a_checkpoint_answers_without_its_data():
    run, state = trained()
    asked = network(RECIPE, capture(run, state, 1, 1, **CLOCKS))
    raw = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predict(asked, raw), predict(run, raw))


def test_a_checkpoint_of_pictures_answers_as_they_were_normalised():
    recipe = Recipe(model=MLP(widths=(8,)), batch_size=500, epochs=1)
    run, state = trained(recipe, 2)
    asked = network(recipe, capture(run, state, 0, 2, **CLOCKS))
    raw = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predict(asked, raw), predict(run, raw))
    assert torch.equal(asked.data.mean, load(Mnist5k()).mean)


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


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize("value", [torch.ones(7), torch.ones(1, 1), torch.ones(0), torch.ones(1, dtype=torch.float64)])
def test_what_raw_inputs_cannot_be_normalised_by_is_told(field, value):
    with pytest.raises(CheckpointError, match="it was not normalised as moons is"):
        network(RECIPE, replace(taken(), **{field: value}))


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


def test_an_optimizers_memory_that_does_not_fit_is_refused():
    checkpoint = taken()
    checkpoint.optimizer["param_groups"][0]["params"].append(99)
    with pytest.raises(CheckpointError, match="optimizer's memory does not fit"):
        restore(build(RECIPE, load(RECIPE.data)), checkpoint)


# Files


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_what_is_written_is_read_again(tmp_path, kind):
    checkpoint = taken(changed(RECIPE, optimizer=choices(Optimizer)[kind]()))
    write(checkpoint, tmp_path / "epoch-1.pt")
    assert same(vars(read(tmp_path / "epoch-1.pt")), vars(checkpoint))
    assert names(tmp_path) == ["epoch-1.pt"]


def test_a_checkpoint_knows_its_size(file):
    checkpoint = read(file)
    weights = sum(value.numel() * value.element_size() for value in checkpoint.model.values())
    assert weights < checkpoint.size < file.stat().st_size
    assert checkpoint.size > 2.5 * weights  # Adam keeps two numbers a weight


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch '{self.trace}'",)


def zipped(content, name="data.pkl"):
    """The frame of a file of torch's, around something else."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as parts:
        parts.writestr(f"archive/{name}", content)
        parts.writestr("archive/version", "3\n")
        parts.writestr("archive/byteorder", "little")
    return stream.getvalue()


@pytest.mark.parametrize("wrap", [bytes, zipped], ids=["bare", "in a zip"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(file, wrap, tmp_path):
    trace = tmp_path / "trace"
    content = pickle.dumps({"format": FORMAT, "model": Evil(trace)}, protocol=2)
    file.write_bytes(wrap(content))
    with pytest.raises(CheckpointError, match="damaged"):
        read(file)
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # the trap was a real one


def saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"These are the notes of a person.\n" * 500, "damaged"),
        (b"PK\x03\x04", "damaged"),
        (zipped(b"\x80\x02]."), "not a checkpoint of dlcore"),
        (zipped(b"", "other"), "damaged"),
        (saved(torch.zeros(3)), "not a checkpoint of dlcore"),
        (saved({"state_dict": torch.zeros(3)}), "not a checkpoint of dlcore"),
        (saved({"format": "1"}), "not a checkpoint of dlcore"),
        (saved({"format": FORMAT, "epochs": 1}), "not a checkpoint of dlcore"),
        (saved({"format": FORMAT + 1, "weights": {}}), f"format {FORMAT + 1}.*up to {FORMAT}: update dlcore"),
    ],
)
def test_what_is_no_checkpoint_of_ours_is_refused_with_a_sentence(file, content, words):
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        read(file)


STATE = {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]}
HUGE = torch.zeros(1).expand(10**12)  # four bytes on disk
FORGED = {
    "epochs": ["1", 1.0, True, -1, None, 10**30],
    "place": ["1", -1, torch.tensor(1), 10**30],
    "step": ["5", 5.0, -5, 10**30],
    "seed": ["0", None, -1, 10**30],
    "elapsed": ["1", math.nan, math.inf, -1.0, True, 10**30, 1e30],
    "stepping": [None, math.nan, 10**30],
    "working": [[], -math.inf, 1e300],
    "optimizer_kind": [7, None],
    "model": [None, [], {1: torch.zeros(2)}, {"a": [1.0]}, {"a": torch.zeros(2).to_sparse()}, {"a": HUGE}],
    "optimizer": [
        *(None, [], {}, {"state": {}}, STATE | {"state": [1]}, STATE | {"state": {"a": {}}}, STATE | {"state": {0: 1}}),
        *(STATE | {"param_groups": groups} for groups in (None, {}, [1], [{}], [{"params": [0]}], [{"lr": 1.0}])),
        *(STATE | {"param_groups": [{"lr": lr, "params": [0]}]} for lr in ("high", True, math.nan, -1.0, 10**400)),
    ],
    "random": [None, {}, {"cpu": "x"}, {"cpu": torch.zeros(5)}, {"cpu": torch.zeros(5, dtype=torch.uint8)}],
    "mean": [None, 0.5, torch.zeros(2, dtype=torch.int64)],
    "std": [None, [1.0]],
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in FORGED.items() for value in values])
def test_a_field_that_does_not_hold_what_it_should_is_refused(file, field, value):
    torch.save(vars(read(file)) | {field: value}, file)
    with pytest.raises(CheckpointError, match=r"^it is not a checkpoint of dlcore$"):
        read(file)


def test_the_forged_fields_are_all_that_there_are():
    assert FORGED.keys() == vars(taken()).keys() - {"format"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_that_are_no_numbers_are_refused(file, bad, kind):
    found = vars(read(file))
    name = list(found["model"])[-3]
    found["model"][name] = found["model"][name].to(kind)
    torch.save(found, file)
    assert read(file)
    found["model"][name].view(-1)[-1] = bad
    torch.save(found, file)
    with pytest.raises(CheckpointError, match=r"^it holds weights that are no numbers$"):
        read(file)


def test_a_folder_in_the_place_of_a_checkpoint_is_told(tmp_path):
    (tmp_path / "epoch-1.pt").mkdir()
    with pytest.raises(CheckpointError, match=r"^it is a folder$"):
        read(tmp_path / "epoch-1.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes on Windows")
def test_a_pipe_in_the_place_of_a_checkpoint_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "epoch-1.pt")
    (tmp_path / "epoch-2.pt").symlink_to("epoch-1.pt")
    for name in ("epoch-1.pt", "epoch-2.pt"):
        with pytest.raises(CheckpointError, match=r"^it is no file$"):
            read(tmp_path / name)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="not there any more"):
        read(tmp_path / "epoch-1.pt")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_a_file_that_was_cut_off_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="damaged"):
        read(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the file is written anew for every example
@given(data=st.data())
def test_flipped_bytes_are_noticed_or_do_not_matter(file, content, data):
    file.write_bytes(content)
    before, flipped = read(file), bytearray(content)
    flips = st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255))
    for position, bits in data.draw(st.lists(flips, min_size=1, max_size=3)):
        flipped[position] ^= bits
    file.write_bytes(flipped)
    try:
        found = vars(read(file))
    except CheckpointError as error:
        found = str(error)
    # What merely fills the gaps of the zip may change.
    assert "it is damaged" in found if isinstance(found, str) else same(found, vars(before))


def test_a_flipped_byte_in_every_part_is_noticed(file):
    with zipfile.ZipFile(file) as parts:
        infos = [part for part in parts.infolist() if part.file_size]
    content = file.read_bytes()
    assert len(infos) > 10
    for part in infos:
        name, extra = (int.from_bytes(content[part.header_offset + at :][:2], "little") for at in (26, 28))
        middle = part.header_offset + 30 + name + extra + part.file_size // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(CheckpointError, match="damaged"):
            read(file)


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
from tests.runs.test_checkpoints import taken, write
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


def test_an_old_format_is_read():
    """Whoever raises FORMAT brings the old ones along."""
    assert {field: type(value).__name__ for field, value in vars(taken()).items()} == {
        **{"epochs": "int", "place": "int", "step": "int", "elapsed": "float", "stepping": "float"},
        **{"working": "float", "seed": "int", "optimizer_kind": "str", "model": "dict", "optimizer": "dict"},
        **{"random": "dict", "mean": "Tensor", "std": "Tensor", "format": "int"},
    }, "a checkpoint holds something else than format 1 did: raise FORMAT, and read the old ones too"
    assert FORMAT == 1
    assert isinstance(replace(taken(), epochs=2), Checkpoint)
