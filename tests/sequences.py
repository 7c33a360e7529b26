"""Small data sets of text and of series, that no catalogue lists."""

import itertools
import math
from typing import ClassVar

import torch

from dlcore.catalogue.datasets import Data
from dlcore.catalogue.spec import Classes, NextToken, Numbers, Series, Tokens
from dlcore.catalogue.splits import Split, of_features

LETTERS, LENGTH, STEPS = tuple("abcd"), 8, 12


class Small(Data):
    """120 samples, of which 80 are trained on. `kind` is no field, so that it does not join the catalogue."""

    kind: ClassVar[str]

    @property
    def train_size(self):
        return 80

    def samples(self):
        """Inputs and targets, 120 of each."""
        raise NotImplementedError

    def load(self, report):
        inputs, targets = self.samples()
        cuts = ((0, 80), (80, 100), (100, 120))
        return of_features(*(Split(inputs[first:last], targets[first:last]) for first, last in cuts))


def alphabets(length):
    """Rows of `length` letters, each of which follows the one before, from every one of them in turn."""
    return torch.tensor([[(first + place) % len(LETTERS) for place in range(length)] for first in range(120)])


class Alphabet(Small):
    """abcdabcd…, and the letter after each."""

    kind = "alphabet"
    inputs = Tokens(LETTERS, LENGTH)
    targets = NextToken(LETTERS)

    def samples(self):
        rows = alphabets(LENGTH + 1)
        return rows[:, :-1], rows[:, 1:]


class LastLetter(Small):
    """The same rows, and which letter the last one is."""

    kind = "last-letter"
    inputs = Tokens(LETTERS, LENGTH)
    targets = Classes(LETTERS)

    def samples(self):
        rows = alphabets(LENGTH)
        return rows, rows[:, -1]


class LetterShare(Small):
    """Random letters, and the share of them that are an a."""

    kind = "letter-share"
    inputs = Tokens(LETTERS, LENGTH)
    targets = Numbers()

    def samples(self):
        rows = torch.randint(len(LETTERS), (120, LENGTH), generator=torch.Generator().manual_seed(0))
        return rows, (rows == 0).float().mean(1, keepdim=True)


def waves(first):
    """A sine and a cosine, (STEPS, 2), from a phase on."""
    phases = [first + 0.5 * step for step in range(STEPS)]
    return [[math.sin(phase), math.cos(phase)] for phase in phases]


class NextOfWave(Small):
    """A sine and a cosine, and what both are a step later."""

    kind = "next-of-wave"
    inputs = Series(STEPS, ("sine", "cosine"))
    targets = Numbers(("sine", "cosine"))

    def samples(self):
        starts = [0.37 * number for number in range(120)]
        after = [waves(start + 0.5 * STEPS)[0] for start in starts]
        return torch.tensor([waves(start) for start in starts]), torch.tensor(after)


class RisingWave(NextOfWave):
    """Whether the sine is larger at the end than at the beginning."""

    kind = "rising-wave"
    targets = Classes(("no", "yes"))

    def samples(self):
        inputs, _ = super().samples()
        return inputs, (inputs[:, -1, 0] > inputs[:, 0, 0]).long()


TEXTS, ROWS = (Alphabet(), LastLetter(), LetterShare()), (NextOfWave(), RisingWave())
ALL = tuple(itertools.chain(TEXTS, ROWS))
