import math
import re

import pytest
import torch

from tests.cli.calling import ACCURACIES, END, EPOCH, MOONS, parsed, process, refused

# What is printed


def test_json_gives_a_first_line_with_the_id_a_line_an_epoch_and_a_last_one_for_the_end(train):
    start, *epochs, end = train("two-moons", "--set", "epochs=4")
    assert start == {"event": "start", "id": end["id"], "name": "two-moons"}
    assert start["id"].isdecimal()
    assert [row["event"] for row in epochs] == ["epoch"] * 4
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4]
    assert all(set(row) == EPOCH | ACCURACIES for row in epochs)
    assert set(end) == END | ACCURACIES | {"test_accuracy"}
    assert (end["event"], end["status"], end["steps"]) == ("end", "finished", epochs[-1]["step"])
    assert all(end[name] == epochs[-1][name] for name in ("val_loss", "val_accuracy", "train_loss", "lr"))
    assert end["predictions"] == []


def test_regression_has_no_accuracy(train):
    _, *epochs, end = train("linear-regression", "--set", "epochs=3")
    assert all(set(row) == EPOCH for row in epochs)
    assert set(end) == END


def test_a_person_gets_a_table_of_few_rows_with_the_last_epoch_in_it(run):
    status, out, _ = run("train", "linear-regression", "--set", "epochs=90", "--predict", "5")
    lines = out.splitlines()
    assert status == 0
    assert re.fullmatch(r"run \d+: linear-regression", lines[0])
    assert lines[1].split() == ["epoch", "train", "loss", "val", "loss", "train", "acc", "val", "acc", "lr", "time"]
    rows = [line for line in lines[2:] if line.split() and line.split()[0].isdigit()]
    assert len(rows) <= 26
    assert rows[-1].split()[0] == "90"
    assert "finished after 90 steps" in out
    assert "prediction " in lines[-1]


def test_no_epoch_is_missing_however_quick_they_are(tell, runs):
    for _ in range(5):
        _, *epochs, _ = tell("train", "linear-regression", "--set", "epochs=30")
        assert [row["epoch"] for row in epochs] == list(range(1, 31))


def test_a_run_has_the_name_that_it_is_given(tell, run, runs):
    start, *_ = tell("train", *MOONS, "--set", "epochs=1", "--name", '  a/b "c" 😀  ')
    assert start["name"] == tell("runs")[0]["name"] == 'a/b "c" 😀'
    for name in ("", "   ", "a\nb", "x" * 101, "x" * 10_000, "a\udcffb"):
        assert refused(run, "train", *MOONS, "--name", name).startswith("A run's name is one line of 1 to 100 letters")
    assert len(tell("runs")) == 1


@pytest.mark.slow
def test_two_processes_print_the_same_numbers():
    def numbers():
        done = process(
            "train", "two-moons", "--set", "epochs=3", "--set", "model.dropout=0.2", "--json", "--predict", "0,1"
        )
        assert done.returncode == 0, done.stderr
        other = ("id", "seconds", "steps_per_second")
        return [{name: value for name, value in row.items() if name not in other} for row in parsed(done.stdout)]

    first = numbers()
    assert len(first) == 5
    assert numbers() == first


def test_training_leaves_the_callers_threads_alone(train):
    before = torch.get_num_threads()
    train("linear-regression", "--set", "epochs=1")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("arguments", "epochs"), [((), (0, 1, 2, 3)), (("--frames", "2"), (0, 3)), (("--frames", "0"), ())]
)
def test_a_run_has_as_many_frames_as_are_asked_for(train, runs, arguments, epochs):
    start, *_ = train(*MOONS, "--set", "epochs=3", *arguments)
    assert runs.film(int(start["id"])).epochs == epochs


def test_a_film_that_cannot_be_is_refused(run):
    assert refused(run, "train", "two-moons", "--frames", "201") == (
        "frames is 201; a film has up to 200 frames, so it takes 0 to 200."
    )


# Predictions


def test_regression_predicts_a_value_for_each_input(train):
    *_, end = train("linear-regression", "--predict", "5", "0", "--predict=-1")
    slope_line = end["predictions"]
    assert len(slope_line) == 3
    assert slope_line[0] == pytest.approx(10, abs=0.2)
    # A line: three answers on one straight line.
    assert slope_line[0] - slope_line[1] == pytest.approx(5 * (slope_line[1] - slope_line[2]), rel=1e-3)


def test_two_classes_predict_the_second_ones_probability(train):
    *_, end = train("logistic-regression", "--predict", "5", "1")
    five, one = end["predictions"]
    assert five > 0.8
    assert 0 < one < 0.5


def test_several_features_are_joined_by_commas(train):
    *_, end = train("two-moons", "--predict", "0,1", "1,-0.5", "--predict=-0.5,0.5")
    upper, lower, left = end["predictions"]
    assert upper < 0.1  # the middle of the upper moon, class 0
    assert lower > 0.9  # the middle of the lower one
    assert left < 0.5


def test_more_classes_predict_a_list_of_probabilities(train):
    picture = ",".join(["0.5"] * 784)
    *_, end = train("simplenet", "--set", "epochs=1", "--predict", picture)
    ((*probabilities,),) = end["predictions"]
    assert len(probabilities) == 10
    assert math.fsum(probabilities) == pytest.approx(1)


def test_a_prediction_that_is_no_finite_number_is_null(train):
    *_, end = train("linear-regression", "--set", "epochs=1", "--predict", "1e300", "1")
    assert end["predictions"][0] is None
    assert math.isfinite(end["predictions"][1])


# Going on


def test_resume_prints_as_train_does(tell, runs):
    start, *epochs, end = tell("train", *MOONS, "--set", "epochs=2")
    again, *more, last = tell("resume", start["id"], "--set", "epochs=4", "--predict", "0,1")
    assert again == {"event": "start", "id": start["id"], "name": "two-moons", "epoch": 2, "step": 8}
    assert [row["epoch"] for row in epochs + more] == [1, 2, 3, 4]
    assert all(row.keys() == EPOCH | ACCURACIES for row in more)
    assert last.keys() == end.keys() == END | ACCURACIES | {"test_accuracy"}
    assert (last["status"], last["steps"], last["id"]) == ("finished", 16, start["id"])
    assert len(last["predictions"]) == 1
    _, *whole, same = tell("train", *MOONS, "--set", "epochs=4", "--predict", "0,1")
    clocks = ("id", "seconds", "steps_per_second")
    plain = lambda rows: [{name: value for name, value in row.items() if name not in clocks} for row in rows]  # noqa: E731
    assert plain([*epochs, *more, last]) == plain([*whole, same])


def test_branch_starts_from_a_kept_epoch_with_changes(tell, run, runs):
    _, *epochs, _ = tell("train", *MOONS, "--set", "epochs=3")
    start, *more, end = tell("branch", "1", "--at", "2", "--set", "optimizer=sgd", "--set", "epochs=4")
    assert start == {
        **{"event": "start", "id": "2", "name": "two-moons, from epoch 2", "epoch": 2, "step": 8, "parent": "1"}
    }
    assert [row["epoch"] for row in more] == [3, 4]
    assert (end["status"], end["steps"]) == ("finished", 16)
    assert more[0]["val_loss"] != epochs[2]["val_loss"]
    named, *_ = tell("branch", "2", "--at", "3", "--name", "mine")
    assert (named["name"], named["parent"]) == ("mine", "2")
    assert [row["parent"] for row in tell("runs")] == ["2", "1", None]
    out = run("branch", "1", "--at", "1", "--set", "batch_size=8")[1]
    assert out.startswith("run 4: two-moons, from epoch 1\nepoch")


def test_passed_over_checkpoints_are_told_on_standard_error(run, tell, runs):
    tell("train", *MOONS, "--set", "epochs=2")
    (runs.root / "1" / "epoch-2.pt").write_bytes(b"notes")
    status, out, err = run("resume", "1", "--set", "epochs=3", "--json")
    start, *epochs, end = parsed(out)
    assert (status, start["epoch"], len(epochs), end["epoch"]) == (0, 1, 2, 3)
    assert err.startswith("The checkpoint epoch-2.pt of run 1 was passed over: it is damaged")
    assert len(err.splitlines()) == 1


def test_what_cannot_go_on_is_a_sentence(run, tell, runs):
    tell("train", *MOONS, "--set", "epochs=2")
    for arguments, words in (
        (["resume", "1"], "Run 1 has done all its 2 epochs; to go on, give it more of them."),
        (["resume", "1", "--set", "epochs=1"], "epochs is 1, but epoch 2 has begun; the nearest is 2."),
        (["resume", "1", "--set", "seed=1"], "seed cannot change once a run has begun"),
        (["resume", "1", "--set", "epochs"], "A change is written SETTING=VALUE"),
        (["resume", "1", "--set", "epochs=3", "--predict", "1"], "an input of moons is 2 numbers joined by commas."),
        (["branch", "1", "--at", "7"], "has no checkpoint of epoch 7; it has those of epochs: 1, 2."),
        (["branch", "1", "--at", "-1"], "has no checkpoint of epoch -1"),
        (["branch", "1", "--at", "2"], "epochs is 2, but the branch begins after epoch 2; the nearest is 3."),
        (["branch", "1", "--at", "1", "--set", "model.widths=[3]"], "the network must be the same"),
        (["branch", "1", "--at", "1", "--set", "optimizer.lr=-1"], "optimizer.lr is -1"),
        (["branch", "1", "--at", "1", "--name", "a\nb"], "A run's name is one line"),
        (["export", "1", "--csv", "/dev/null/x.csv"], "/dev/null/x.csv cannot be written: Not a directory."),
        (["export", "1", "--csv", str(runs.root)], f"{runs.root} cannot be written: Is a directory."),
    ):
        assert words in refused(run, *arguments)
    assert [row["status"] for row in tell("runs")] == ["finished"]
