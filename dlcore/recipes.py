"""The named recipes: where a person starts, and what the engine must be able to reach."""

from dataclasses import dataclass

from dlcore.catalogue.activations import Tanh
from dlcore.catalogue.architectures import CNN, MLP, LeNet, Linear, Recurrent
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Cifar10, Line, Moons, PassFail, Spirals
from dlcore.catalogue.losses import BinaryCrossEntropy, MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.catalogue.schedules import OneCycle
from dlcore.recipe import Recipe


@dataclass(frozen=True)
class Named:
    """A recipe with a sentence on what it shows."""

    about: str
    recipe: Recipe


DEFAULT = "digits"

RECIPES = {
    "digits": Named(
        "A small convolutional network for handwritten digits, trained to read what you draw.",
        Recipe(
            model=CNN(channels=(8, 16, 32), dense=64, dropout=0.2),
            optimizer=Adam(lr=5e-3),
            schedule=OneCycle(),
            augmentation=Augmentation(shift=0.08, rotate=10, scale=0.1, shear=8),
            epochs=12,
        ),
    ),
    "simplenet": Named("One hidden layer: the first network that most people train.", Recipe()),
    "mlp": Named(
        "Two hidden layers with plain momentum.",
        Recipe(model=MLP(widths=(128, 64)), optimizer=SGD(lr=0.01, momentum=0.9)),
    ),
    "mnist-cnn": Named(
        "The classic convolutional network: two convolutions, and dropout of whole patterns and of units.",
        Recipe(model=CNN(padding=False, pooling="last", channel_dropout=0.25), optimizer=SGD(lr=0.001, momentum=0.9)),
    ),
    "cifar-lenet": Named(
        "LeNet on small colour photographs; needs CIFAR-10 on disk, or internet once.",
        Recipe(data=Cifar10(), model=LeNet(), optimizer=SGD(lr=0.001, momentum=0.9)),
    ),
    "row-lstm": Named("A recurrent network that reads digits row by row.", Recipe(model=Recurrent())),
    "two-moons": Named(
        "Two features that you can see whole, and a network that bends around them.",
        Recipe(data=Moons(), model=MLP(widths=(16, 16), activation=Tanh()), optimizer=Adam(lr=0.01), epochs=50),
    ),
    "spirals": Named(
        "Two arms wound around each other, which take more bends to part.",
        Recipe(data=Spirals(), model=MLP(widths=(32, 32), activation=Tanh()), optimizer=Adam(lr=0.01), epochs=100),
    ),
    "linear-regression": Named(
        "A straight line through four points, by gradient descent.",
        Recipe(
            data=Line(),
            model=Linear(),
            loss=MeanSquaredError(),
            optimizer=SGD(lr=0.01, momentum=0.0),
            epochs=1000,
            batch_size="all",
        ),
    ),
    "logistic-regression": Named(
        "Pass or fail by hours of study: the smallest classifier.",
        Recipe(
            data=PassFail(),
            model=Linear(),
            loss=BinaryCrossEntropy(),
            optimizer=SGD(lr=0.01, momentum=0.0),
            epochs=1000,
            batch_size="all",
        ),
    ),
}
