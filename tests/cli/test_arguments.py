import pytest
import torch

from dlcore.cli.arguments import inputs_of
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from tests.cli.calling import refused
from tests.sequences import Alphabet


def test_settings_can_be_changed_by_number_word_list_and_kind(train, monkeypatch):
    seen = []
    problems = Recipe.problems
    monkeypatch.setattr(Recipe, "problems", lambda self: seen.append(self) or problems(self))
    changes = [
        *("epochs=2", "batch_size=all", "model.widths=[4, 3]", "model.activation.kind=leaky-relu"),
        *("model.activation.slope=0.2", "optimizer=sgd", "optimizer.lr=0.5", "optimizer.nesterov=true"),
        *("schedule.kind=step", "schedule.every=1", "data.noise=0.3", "precision=bfloat16"),
    ]
    *_, end = train("two-moons", *(word for change in changes for word in ("--set", change)))
    recipe = seen[-1]
    assert (recipe.epochs, recipe.batch_size, recipe.precision) == (2, "all", "bfloat16")
    assert recipe.model.widths == (4, 3)
    assert (recipe.model.activation.kind, recipe.model.activation.slope) == ("leaky-relu", 0.2)
    assert (recipe.optimizer.kind, recipe.optimizer.lr, recipe.optimizer.nesterov) == ("sgd", 0.5, True)
    assert (recipe.schedule.kind, recipe.data.noise) == ("step", 0.3)
    assert (end["steps"], end["lr"]) == (2, 0.25)


def test_the_last_of_repeated_changes_wins(train):
    _, *epochs, _ = train("linear-regression", "--set", "epochs=5", "--set", "epochs=2")
    assert len(epochs) == 2


def test_a_kind_takes_its_own_defaults_wherever_it_stands(train):
    *_, end = train("linear-regression", "--set", "optimizer.lr=0.02", "--set", "optimizer=adam", "--set", "epochs=1")
    assert end["lr"] == 0.02


@pytest.mark.parametrize("change", ["epochs", "=3", "epochs.x=1", "epochs=", "optimizer=adma", "model.widths=[]"])
def test_a_change_that_cannot_be_is_one_line(run, change):
    status, out, err = run("train", "simplenet", "--set", change)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_all_problems_are_told_at_once_on_standard_error(run):
    status, out, err = run("train", "simplenet", "--set", "optimizer.lr=-1", "--set", "epochs=0", "--set", "modle=mlp")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 3
    for word in ("optimizer.lr", "epochs", "model"):
        assert word in err


@pytest.mark.parametrize(
    ("word", "nearest"), [("simplnet", "simplenet"), ("digit", "digits"), ("mnist_cnn", "mnist-cnn")]
)
def test_an_unknown_recipe_is_answered_with_those_there_are_and_the_nearest(run, word, nearest):
    status, out, err = run("train", word)
    assert (status, out) == (2, "")
    assert f"no recipe named '{word}'" in err
    assert all(name in err for name in RECIPES)
    assert "did you mean" in err
    assert nearest in err.split("did you mean")[1]


# Files


def test_a_recipe_is_read_from_a_file_and_can_be_changed(train, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(RECIPES["linear-regression"].recipe.to_json())
    start, *epochs, end = train(str(file), "--set", "epochs=2")
    assert (start["name"], len(epochs)) == ("mine", 2)
    *_, named = train("linear-regression", "--set", "epochs=2")
    assert end["val_loss"] == named["val_loss"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"epochs": 2, "epoch": 3, "data": {"kind": "moons", "noize": 1}}', "noise"),
        ('{"epochs": ', "not JSON"),
        ("", "not JSON"),
        ("[]", "[]"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_recipe_is_told(run, tmp_path, text, word):
    file = tmp_path / "mine.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    status, out, err = run("train", str(file))
    assert (status, out) == (2, "")
    assert word in err
    assert "Traceback" not in err


def test_every_unknown_field_of_a_file_is_told(run, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"epoch": 3, "data": {"kind": "moons", "noize": 1}}')
    _, _, err = run("train", str(file))
    assert [line.split()[0] for line in err.splitlines()] == ["data.noize", "epoch"]


def test_a_missing_file_is_told(run, tmp_path):
    status, out, err = run("train", str(tmp_path / "none.json"))
    assert (status, out) == (2, "")
    assert err == f"There is no file {tmp_path / 'none.json'}.\n"


def test_a_long_file_name_makes_no_trouble(tell, runs, tmp_path):
    file = tmp_path / f"{'x' * 200}.json"
    file.write_text(RECIPES["linear-regression"].recipe.to_json())
    start, *_ = tell("train", str(file), "--set", "epochs=1")
    assert start["name"] == "x" * 100


# Inputs


def test_wrong_inputs_are_all_told_before_anything_trains(run):
    status, out, err = run("train", "two-moons", "--predict", "1", "1,2", "1,2,3", "1,x", "nan,1", "")
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 5
    assert all("2 numbers joined by commas" in line for line in lines)
    status, _, err = run("train", "linear-regression", "--predict", "1,2")
    assert status == 2
    assert "an input of line is a number." in err


# Ids


def refused_id(run, runs, command, number):
    more = {"export": ["--csv", "-"], "branch": ["--at", "1"]}.get(command, [])
    sentence = refused(run, command, *more, "--", number)
    assert not [path for path in runs.root.iterdir() if path.is_dir()]
    return sentence


@pytest.mark.parametrize("number", ["abc", "-1", "1.5", "1e3", "", "../1", "9" * 30, "1\x00", "²"])
def test_an_id_that_is_no_number_is_a_sentence(run, runs, number):
    sentence = refused_id(run, runs, "show", number)
    assert sentence.startswith("A run's id is a whole number, as `python -m dlcore runs` lists it, not ")
    sentence.encode()


@pytest.mark.parametrize("command", ["show", "resume", "branch", "delete", "restore", "import", "export"])
def test_every_command_refuses_an_id_that_no_run_has(run, runs, command):
    assert "99" in refused_id(run, runs, command, "99")
    assert refused_id(run, runs, command, "../1").startswith("A run's id is a whole number")


def test_an_input_of_text_is_its_tokens_numbers():
    recipe = Recipe().model_copy(update={"data": Alphabet()})
    found = inputs_of(recipe, ["0,1,2,3,0,1,2,3"])
    assert found.dtype == torch.int64
    assert found.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3]]
    for wrong in ("0,1", "0,1,2,3,0,1,2,4", "0,1,2,3,0,1,2,0.5", "0,1,2,3,0,1,2,-1", "0,1,2,3,0,1,2,nan", "a,b"):
        with pytest.raises(SettingsError, match="8 numbers joined by commas, each a token's, 0 to 3"):
            inputs_of(recipe, [wrong])
