"""The command line: which commands there are, what each takes, and how it ends. Each group has its file beside."""

import argparse
import os
import sys

from dlcore.cli.landscape import show_landscape
from dlcore.cli.look import look
from dlcore.cli.reference import show_recipes, show_settings
from dlcore.cli.runs import bring_back, delete, export, list_runs, show_run, take_in
from dlcore.cli.steer import pause, steer, stop
from dlcore.cli.train import branch, resume, train
from dlcore.inside.errors import LookError
from dlcore.inside.landscape import PLANES
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError


def _argument(flag: str, help: str, **options: object) -> tuple[str, dict]:
    return flag, {"help": help, **options}


ID = _argument("id", "the run's id, as `runs` lists it", metavar="ID")
RECIPE = _argument("recipe", "a named recipe, or a file that holds one", metavar="NAME|FILE.json")
ITS_RECIPE = _argument("--recipe", "its recipe, where the folder does not tell it", metavar="NAME|FILE.json")
NAME = _argument("--name", "what the run is called; by default as the recipe")
LOOK_AT = _argument(
    "--at", "the epoch after which it is looked at; by default as it was left", metavar="EPOCH", type=int
)
ITS_NAME = _argument("--name", "what the branch is called")
AT = _argument("--at", "the epoch after which it leaves", metavar="EPOCH", type=int, required=True)
CSV = _argument("--csv", "the file to write; - for the standard output", metavar="FILE", required=True)
EACH = _argument("--each", "what a line is for", choices=("epoch", "step"), default="epoch")
JSON = _argument("--json", "print one JSON object a line", action="store_true")
SET = _argument(
    "--set",
    "change a setting, such as optimizer.lr=0.01 or model.activation.kind=tanh; may be repeated",
    **{"dest": "changes", "metavar": "SETTING=VALUE", "action": "append", "default": []},
)
PREDICT = _argument(
    "--predict",
    "after training, predict for this input; several features are joined by commas, as in 0.5,-1",
    **{"metavar": "X", "nargs": "+", "action": "extend", "default": []},
)
PLANE = _argument("--plane", "along its film's principal components, or at random", choices=PLANES, default="film")
DIRECTIONS = _argument("--seed", "of random directions", metavar="N", type=int, default=0)
OTHERS = _argument(
    "--with",
    "runs whose paths are drawn on the same plane, such as the others of a race of optimizers",
    **{"metavar": "ID", "nargs": "+", "action": "extend", "default": [], "dest": "others"},
)
THREADS = _argument("--threads", "how many cores a step may use; by default half of them", metavar="N", type=int)
FRAMES = _argument("--frames", "how many frames its film has at most; 0 for none", metavar="N", type=int)
TRAINING = (SET, PREDICT, JSON)

# Name, function, what it does, and its arguments: all in the order of `--help`.
COMMANDS = (
    ("recipes", show_recipes, "list the named recipes"),
    ("settings", show_settings, "list everything that --set can change"),
    ("train", train, "train a recipe", RECIPE, NAME, THREADS, FRAMES, *TRAINING),
    ("runs", list_runs, "list the runs that are kept", JSON),
    ("show", show_run, "show a run: its epochs, its changes, its recipe", ID, JSON),
    ("look", look, "look into a run: its layers, what it knows of each class, its worst mistakes", ID, LOOK_AT, JSON),
    (
        *("landscape", show_landscape, "compute the loss around a run, and its path there"),
        *(ID, OTHERS, PLANE, DIRECTIONS, JSON),
    ),
    ("resume", resume, "let a run go on where it was left, or where it is paused", ID, *TRAINING),
    ("pause", pause, "pause a run that trains, in a dashboard or by another command", ID),
    ("stop", stop, "stop a run that trains; what was learned is kept", ID),
    ("steer", steer, "change a run while it trains", ID, SET),
    ("branch", branch, "start a run from the weights that another one had after an epoch", ID, AT, ITS_NAME, *TRAINING),
    ("delete", delete, "delete a run; for a day it can be brought back", ID),
    ("restore", bring_back, "bring a deleted run back", ID),
    ("import", take_in, "enter a run whose folder is there but which the list of runs does not know", ID, ITS_RECIPE),
    ("export", export, "write a run's epochs, or its steps, as CSV", ID, CSV, EACH),
)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 success, 1 the training failed, 2 something asked for cannot be, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except (StoreError, LookError) as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - or the interpreter complains when it flushes
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dlcore", description="Train neural networks, without a browser.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, help, *arguments in COMMANDS:
        command = commands.add_parser(name, help=help)
        command.set_defaults(command=function)
        for flag, options in arguments:
            command.add_argument(flag, **options)
    return parser
