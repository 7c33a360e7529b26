"""Recipe: one run, completely described. What has no problems runs, and gives the same numbers every time."""

import contextlib
import copy
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from dlcore import memory
from dlcore.catalogue import devices
from dlcore.catalogue.architectures import MLP, Architecture
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Data, DataError, Mnist5k
from dlcore.catalogue.losses import CrossEntropy, Loss
from dlcore.catalogue.optimizers import Adam, Optimizer
from dlcore.catalogue.schedules import Constant, Schedule
from dlcore.catalogue.spec import Inputs
from dlcore.catalogue.stopping import Stopping
from dlcore.catalogue.tasks import Task, task_of
from dlcore.settings import Problem, Settings, SettingsError, did_you_mean, family_of, one_of, parse, show

# What may change while a run trains: nothing that its weights or its place among the batches hang on.
STEERABLE = (
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.beta1",  # the momentum of Adam and its kin
    "optimizer.weight_decay",
    "model.dropout",
    "model.channel_dropout",
    "epochs",
    *(f"stop.{name}" for name in Stopping.model_fields),
)


class Recipe(Settings):
    """Everything that decides a run."""

    data: one_of(Data) = Field(Mnist5k(), title="Data", description="What there is to learn.")
    model: one_of(Architecture) = Field(MLP(), title="Architecture", description="The network that learns it.")
    loss: one_of(Loss) = Field(CrossEntropy(), title="Loss", description="The number that training makes small.")
    optimizer: one_of(Optimizer) = Field(Adam(), title="Optimizer", description="How gradients become steps.")
    schedule: one_of(Schedule) = Field(
        Constant(), title="Schedule", description="How the learning rate moves while training."
    )
    augmentation: Augmentation = Field(
        Augmentation(), title="Augmentation", description="Random changes to the training pictures."
    )
    epochs: int = Field(
        10, ge=1, le=100000, title="Epochs", description="How often training passes over all the training data."
    )
    batch_size: Annotated[int, Field(ge=1, le=1000000)] | Literal["all"] = Field(
        64, title="Batch size", description="Samples averaged in one step; all of them is plain gradient descent."
    )
    stop: Stopping = Field(
        Stopping(), title="Ending early", description="Rules that end the run before its last epoch."
    )
    seed: int = Field(
        0, ge=0, le=2**31, title="Seed", description="Decides everything random: the same seed, the same run."
    )
    device: Literal["cpu", "cuda", "mps"] = Field("cpu", title="Device", description="Where the arithmetic is done.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        title="Precision",
        description="bfloat16 keeps fewer digits in the large multiplications: much faster on a processor that is made "
        "for it, much slower on one that is not.",
    )

    def problems(self) -> list[Problem]:
        """Everything that keeps this recipe from running, at once; each says what to change."""
        found = self.contradictions()
        if self.device not in devices.available():
            here = ", ".join(devices.available())
            told = f"device is {self.device}, which this machine lacks; it has {here}."
            found.append(Problem("device", told, {"device": "cpu"}))
        if not found:  # what cannot be built cannot be measured
            try:
                found += [] if memory.fits(self._plan()) else [memory.problem(self._plan())]
            except DataError as error:
                found.append(Problem("model.kind", f"model.kind is {self.model.kind}, but {error}"))
        return found

    def contradictions(self) -> list[Problem]:
        """Those of the problems that it has on any machine."""
        size = 0 if self.batch_size == "all" else self.batch_size
        return [
            *self.loss.problems(self.data),
            *self.model.problems(self.data, size),
            *self.optimizer.problems(),
            *self.augmentation.problems(self.data),
            *self.stop.problems(self.data),
        ]

    def warnings(self) -> list[Problem]:
        """What a person should know of this recipe, if it has no problems."""
        return [] if self.problems() or memory.fits(self._plan(), memory.LARGE) else [memory.warning(self._plan())]

    def _plan(self) -> memory.Plan:
        samples = self.data.train_size or 1
        batch = samples if self.batch_size == "all" else min(samples, self.batch_size)
        kept = self.optimizer.kept
        return memory.Plan(self.model, self.inputs, self.outputs, kept, samples, batch, self.device)

    @property
    def inputs(self) -> Inputs:
        """What goes into the network."""
        return self.data.spec().inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input, such as (features,), or (channels, height, width)."""
        return self.inputs.shape

    @property
    def task(self) -> Task:
        """What the network is to tell."""
        return task_of(self.data.spec())

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of what the network gives a sample."""
        return self.loss.outputs(self.task)

    def steps_per_epoch(self, samples: int) -> int:
        return 1 if self.batch_size == "all" else math.ceil(samples / self.batch_size)

    def to_json(self) -> str:
        return self.model_dump_json(indent=2)


def read(text: str) -> Recipe:
    """A recipe from JSON; what is left out keeps its default. Raises SettingsError with every problem in words."""
    recipe = parse(Recipe, text)
    if problems := recipe.problems():
        raise SettingsError(problems)
    return recipe


def change(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings changed by dotted path, such as {"optimizer.lr": 0.01}.

    Another `kind` starts that choice from its own defaults, whatever the order of the changes. Raises SettingsError
    with every problem in words.
    """
    return read(_changed(recipe, changes))


def repeat(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The same for changes that were made before, perhaps on a machine with devices that this one lacks."""
    return parse(Recipe, _changed(recipe, changes))


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> str:
    settings = recipe.model_dump(mode="json")
    for path, value in sorted(changes.items(), key=lambda item: item[0].removesuffix(".kind").count(".")):
        *parents, name = path.split(".")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SettingsError([Problem(path, f"{path} is not a setting, for {parent} holds a single value.")])
        if name == "kind" and value != place.get("kind"):
            place.clear()
        short = isinstance(value, str) and _is_choice(settings, path)  # `optimizer=sgd` means its kind
        place[name] = {"kind": value} if short else copy.deepcopy(value)
    return json.dumps(settings)


def steerable(recipe: Recipe) -> list[str]:
    """The settings of this recipe that may change while it trains, by dotted path."""
    return [path for path in STEERABLE if value_at(recipe, path) is not None]


def steer(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with changes made while it trains. Raises SettingsError for a setting that is fixed by then."""
    known = steerable(recipe)
    problems = [
        Problem(path, f"{path} cannot change once a run has begun; what can: {', '.join(known)}{nearest}")
        for path in changes
        if path not in known
        for nearest in [did_you_mean(path, known) or "."]
    ]
    if problems:
        raise SettingsError(problems)
    return change(recipe, changes)


def value_at(recipe: Recipe, path: str) -> Any:
    """The setting at a dotted path; None where the recipe has none."""
    value: Any = recipe
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def field_at(recipe: Recipe, path: str) -> FieldInfo:
    """What is declared of the setting at a dotted path."""
    parent, _, name = path.rpartition(".")
    return type(value_at(recipe, parent) if parent else recipe).model_fields[name]


def _is_choice(settings: dict, path: str) -> bool:
    """Whether a path leads to a choice, given the kinds above it."""
    kinds = {"None": Recipe}
    for name in path.split("."):
        owner = kinds.get(str(settings.get("kind")))
        kinds = family_of(owner.model_fields[name]) if owner and name in owner.model_fields else {}
        settings = settings[name] if isinstance(settings.get(name), dict) else {}
    return bool(kinds)


def parse_change(text: str) -> tuple[str, Any]:
    """`optimizer.lr=0.01` as path and value; a value that is not JSON is a word. Raises SettingsError."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        told = f"A change is written SETTING=VALUE, such as optimizer.lr=0.01, not {show(text)}."
        raise SettingsError([Problem(path, told)])
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(value)
    return path.strip(), value
