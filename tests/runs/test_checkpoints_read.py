"""Reading a checkpoint: what is not whole, not ours or not to be trusted is refused with a sentence."""

import io
import math
import os
import pickle
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcore.runs.checkpoints import FORMAT, CheckpointError, read, write
from tests.capturing import same, taken


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
