"""Data sets: what there is to learn, split into training, validation and test by a seed; `splits` has their shapes."""

from dlcore.catalogue.datasets.base import Data, Report, data_root, load
from dlcore.catalogue.datasets.formats import import_torchvision
from dlcore.catalogue.datasets.pictures import Cifar10, FashionMnist, Mnist, Mnist5k
from dlcore.catalogue.datasets.toys import Circles, Line, Moons, PassFail, Sine, Spirals, Xor
from dlcore.catalogue.splits import DataError

__all__ = [
    "Cifar10",
    "Circles",
    "Data",
    "DataError",
    "FashionMnist",
    "Line",
    "Mnist",
    "Mnist5k",
    "Moons",
    "PassFail",
    "Report",
    "Sine",
    "Spirals",
    "Xor",
    "data_root",
    "import_torchvision",
    "load",
]
