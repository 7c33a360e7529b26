import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.pictures import write_mnist
from dlcore import memory
from dlcore.catalogue import devices, splits
from dlcore.catalogue.architectures import CNN, MLP, Linear, ResNet18, skeleton
from dlcore.catalogue.datasets import Cifar10, Mnist, Moons
from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.catalogue.spec import Picture
from dlcore.memory import needed
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from tests.catalogue.test_architectures import SHAPED
from tests.engine.test_sequences import PAIRS as SEQUENCES

ROOT = Path(__file__).parents[1]


@pytest.fixture
def room(monkeypatch):
    """Sets how many bytes of memory there are."""
    return lambda size: monkeypatch.setattr(devices, "memory", lambda device: size)


def plan(**fields):
    return Recipe(**fields)._plan()


def needs(**fields):
    return needed(plan(**fields))


# What a run needs


def test_a_network_needs_its_weights_gradients_and_moments_and_those_of_two_checkpoints():
    weights = 4 * (784 * 5000 + 5000 + 5000 * 10 + 10)
    model = MLP(widths=(5000,))
    for optimizer, arrays in ((Adam(), 2 + 2 + 2 * 3), (SGD(), 2 + 1 + 2 * 2), (SGD(momentum=0), 2 + 0 + 2 * 1)):
        assert memory._parts(plan(model=model, optimizer=optimizer))[0] == weights * arrays


def test_a_sample_leaves_what_the_way_back_needs():
    kept, largest = memory._passing(skeleton(MLP(widths=(128, 64)), Picture(1, 28, 28), (10,)), Picture(1, 28, 28))
    assert (kept, largest) == (4 * (784 + 128 + 64), 4 * 784)  # each layer's input; a ReLU's output is the next one's


@pytest.mark.parametrize(("architecture", "data"), SHAPED)
def test_a_real_step_keeps_about_what_was_found_without_values(architecture, data):
    network, kept = architecture.build(data.spec().inputs, (7,)).train(), {}
    own = {parameter.data_ptr() for parameter in network.parameters()}

    def note(value):
        if value.data_ptr() not in own:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        _ = network(torch.rand(8, *data.spec().inputs.shape))
    found, _ = memory._passing(skeleton(architecture, data.spec().inputs, (7,)), data.spec().inputs)
    real, workspace = sum(kept.values()), 10**6  # what a library for recurrent cells takes whatever their size
    assert 0.5 * real - workspace < found * 8 < 2 * real + workspace


@pytest.mark.parametrize(("architecture", "data"), SHAPED)
def test_the_bound_by_the_sizes_of_the_layers_is_never_less(architecture, data):
    network = skeleton(architecture, data.spec().inputs, (7,))
    for bound, found in zip(
        memory._at_most(network, data.spec().inputs),
        memory._passing(network, data.spec().inputs),
        strict=True,
    ):
        assert bound >= found


def test_looking_draws_no_random_numbers_and_is_remembered(monkeypatch, room):
    room(10**7)  # so that it looks closely
    before = torch.get_rng_state()
    recipe = Recipe(model=CNN(dropout=0.5, channel_dropout=0.5, dense=17))
    found = recipe.problems()
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(memory, "skeleton", lambda *_: pytest.fail("it was looked at before"))
    assert recipe.problems() == change_nothing(recipe).problems() == found


def change_nothing(recipe):
    return Recipe.model_validate_json(recipe.to_json())


MEASURED = """
import json, sys, tempfile
from pathlib import Path
from dlcore import memory
from dlcore.engine.conductor import Conductor
from dlcore.engine.loading import prepare
from dlcore.recipe import read
from dlcore.runs.store import Store

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) * 1024

recipe = read(sys.argv[1])
prepare()
estimate, before = memory.needed(recipe._plan()), status("VmRSS")
with tempfile.TemporaryDirectory() as root:
    conductor = Conductor(threads=1, store=Store(Path(root)))
    job = conductor.submit("measured", recipe)
    assert job.wait(300) and job.status == "finished", job.failure
    print(json.dumps([estimate, status("VmHWM") - before]))
    conductor.close()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much a process had at most")
@pytest.mark.parametrize(
    "recipe",
    [
        # As many epochs as copies are counted on: of more, more may wait for a slow disk.
        Recipe(data=Moons(samples=200), model=MLP(widths=(4000, 2000)), epochs=memory.COPIES),
        Recipe(model=CNN(channels=(8,)), epochs=1, batch_size="all"),
    ],
    ids=["many weights", "large batches"],
)
def test_a_real_run_takes_about_what_was_told(recipe):
    command = [sys.executable, "-c", MEASURED, recipe.to_json()]
    told, taken = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert 0.5 * taken < told < 1.5 * taken


# What is told of it


def test_a_network_that_cannot_fit_is_refused_and_the_size_of_one_that_would_is_named(room):
    room(25 * 10**9)
    (problem,) = Recipe(model=MLP(widths=(10000,) * 20)).problems()
    assert problem.setting == "model"
    for words in (
        "mlp with 1,908,140,010 weights",
        "about 76.4 GB of memory",
        "has 25.0 GB",
        "at most about 620,000,000",
    ):
        assert words in problem.text
    assert Recipe(model=MLP(widths=(10000,) * 6)).problems() == []


def test_a_network_whose_evaluation_cannot_fit_is_refused(room):
    room(10**9)
    (problem,) = Recipe(model=CNN(channels=(1000,), dense=1), batch_size=1).problems()
    assert problem.setting == "model"
    assert problem.text.endswith("but this machine has 1.0 GB; make its layers smaller.")


@pytest.mark.parametrize("batch_size", [1000, "all"])
def test_a_batch_that_cannot_fit_is_refused_and_the_nearest_that_does_is_named(room, batch_size):
    room(10**9)
    recipe = Recipe(model=ResNet18(), optimizer=SGD(momentum=0), batch_size=batch_size)
    (problem,) = recipe.problems()
    assert problem.setting == "batch_size"
    assert f"steps of {4000 if batch_size == 'all' else 1000:,} samples" in problem.text
    nearest = int(problem.text.split("the nearest is ")[1].rstrip("."))
    assert change(recipe, {"batch_size": nearest}).problems() == []
    with pytest.raises(SettingsError, match="batch_size"):
        change(recipe, {"batch_size": nearest + 1})


def test_what_takes_a_large_part_is_warned_of_and_what_takes_a_small_one_is_not(room):
    fields = {"model": MLP(widths=(2000,))}
    taken = needs(**fields)
    for there, problems, warnings in ((taken - 1, 1, 0), (taken, 0, 1), (2 * taken - 2, 0, 1), (2 * taken, 0, 0)):
        room(there)
        found = Recipe(**fields)
        assert (len(found.problems()), len(found.warnings())) == (problems, warnings)
    room(taken)
    (warning,) = Recipe(**fields).warnings()
    assert warning.setting == "model"
    assert "This run takes about 0.1 GB of the 0.1 GB of memory" in warning.text
    assert warning.text.endswith("with smaller layers it takes less.")


def test_a_warning_of_large_batches_says_so(room):
    fields = {"model": CNN(), "batch_size": "all"}
    room(needs(**fields))
    (warning,) = Recipe(**fields).warnings()
    assert warning.setting == "batch_size"


def test_nothing_is_refused_where_nobody_knows_how_much_there_is(room):
    room(None)
    assert Recipe(model=MLP(widths=(10000,) * 20)).problems() == []
    assert Recipe(model=MLP(widths=(10000,) * 20)).warnings() == []


def test_an_accelerator_holds_no_checkpoints_and_is_asked_for_its_own_memory(monkeypatch):
    there = {"cpu": 10**12, "cuda": 10**6}
    monkeypatch.setattr(devices, "memory", there.get)
    monkeypatch.setattr(devices, "available", lambda: ("cpu", "cuda"))
    assert Recipe().problems() == []
    (problem,) = Recipe(device="cuda").problems()
    assert problem.setting == "model"
    assert "but the NVIDIA GPU (CUDA) has 0.0 GB" in problem.text
    on_cpu, on_cuda = (memory._parts(plan(device=device))[0] for device in ("cpu", "cuda"))
    assert (on_cpu, on_cuda) == (101_770 * 4 * 10, 101_770 * 4 * 4)


@pytest.mark.parametrize("name", RECIPES)
def test_a_laptop_has_room_for_every_named_recipe(room, name):
    room(2 * 10**9)
    assert RECIPES[name].recipe.problems() == RECIPES[name].recipe.warnings() == []


def test_other_problems_are_told_first_for_what_cannot_be_built_cannot_be_measured(room):
    room(1)
    assert [problem.setting for problem in Recipe(data=Moons(), model=CNN()).problems()] == ["model.kind"]


def test_torchvision_that_cannot_be_loaded_is_a_problem_of_the_network_that_needs_it(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("dlcore.catalogue.datasets.formats.importlib.import_module", broken)
    memory._looked_at.cache_clear()
    (problem,) = Recipe(model=ResNet18(), batch_size=3).problems()
    assert problem.setting == "model.kind"
    assert "resnet18" in problem.text
    assert "reinstall both" in problem.text


# Sets on disk


def test_all_pictures_of_a_file_that_is_larger_than_memory_are_no_batch(tmp_path, monkeypatch, room):
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    write_mnist(tmp_path, 100)
    assert Mnist().train_size == 90
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    head = bytearray(file.read_bytes()[:16])
    head[4:8] = (20_000_000).to_bytes(4, "big")
    file.write_bytes(head)
    assert Mnist().train_size == 18_000_000
    assert Cifar10().train_size == 45_000
    room(25 * 10**9)
    recipe = Recipe(data=Mnist(), model=Linear(), batch_size="all")
    (problem,) = recipe.problems()
    assert problem.setting == "batch_size"
    assert "steps of 18,000,000 samples" in problem.text
    assert recipe.model_copy(update={"batch_size": 64}).problems() == []  # from their file, a few at a time


def test_a_set_that_is_read_whole_counts_and_one_that_stays_in_its_file_does_not():
    found = plan(data=Mnist())
    assert memory._parts(found)[1] == 54000 * 784 * 4
    assert memory._parts(replace(found, samples=splits.RESIDENT))[1] == 0


# The machine


def test_a_container_has_the_least_of_what_its_control_groups_allow(tmp_path):
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    inner = mounted / "a/b"
    inner.mkdir(parents=True)
    (mounted / "memory/c").mkdir(parents=True)
    (mounted / "memory.max").write_text("max\n")
    (mounted / "a/memory.max").write_text("3000\n")
    (inner / "memory.max").write_text("5000\n")
    (mounted / "memory/c/memory.limit_in_bytes").write_text("4000\n")
    groups.write_text("0::/a/b\n")
    assert sorted(devices._limits(groups, mounted)) == [3000, 5000]
    groups.write_text("4:memory:/c\n5:cpu:/c\n0::/elsewhere\n")
    assert devices._limits(groups, mounted) == [4000]
    assert devices._limits(tmp_path / "none", mounted) == []


def test_the_memory_of_this_machine_is_known_where_the_system_says_it():
    found = devices.memory("cpu")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        total = int(meminfo.read_text().split("MemTotal:")[1].split()[0]) * 1024
        assert 10**8 < found <= total


# Text and series


@pytest.mark.parametrize("recipe", SEQUENCES)
def test_the_bound_holds_for_text_and_series(recipe):
    network = skeleton(recipe.model, recipe.inputs, recipe.outputs)
    found, bound = memory._passing(network, recipe.inputs), memory._at_most(network, recipe.inputs)
    assert bound[0] >= found[0]
    assert bound[1] >= found[1]
