import contextlib
from functools import partial

import pytest

from dlcore.cli.main import main
from dlcore.runs.store import Store
from tests.cli.calling import parsed


@pytest.fixture
def run(capsys):
    """Run the command line in this process: exit status, standard output and error."""

    def call(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as leave:  # argparse's own
            status = leave.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def tell(run):
    """Run a command that succeeds and prints JSON: the objects."""

    def call(*arguments, status=0):
        found, out, err = run(*arguments, "--json")
        assert found == status, err
        return parsed(out)

    return call


@pytest.fixture
def train(tell):
    return partial(tell, "train")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A store of this test's own."""
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    with contextlib.closing(Store()) as store:
        yield store
