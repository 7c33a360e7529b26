"""Networks: modules of our own, for architectures that PyTorch has none for."""

import math

import torch
from torch import nn

from dlcore.catalogue.spec import Inputs, Picture, Tokens


class RowReader(nn.Module):
    """A recurrent cell over a sequence, then a linear layer on its last state, or on that at each place.

    It reads the rows of pictures (N, C, H, W) from top to bottom, the steps of series (N, steps, channels), or tokens
    (N, length), each of which has a vector that is learned.
    """

    def __init__(self, kind: str, inputs: Inputs, hidden: int, layers: int, dropout: float, outputs: tuple[int, ...]):
        """`outputs` is (K,), or (length, K) for an answer at each place."""
        super().__init__()
        self.pictures, self.tokens = isinstance(inputs, Picture), isinstance(inputs, Tokens)
        self.at_each_place = len(outputs) > 1
        if self.tokens:
            self.embedding = nn.Embedding(len(inputs.vocabulary), hidden)
        rows = inputs.height if self.pictures else inputs.shape[0]
        cell = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
        wide = hidden if self.tokens else math.prod(inputs.shape) // rows
        self.cell = cell(wide, hidden, layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, outputs[-1])

    def forward(self, inputs):
        with torch.autocast("cpu", enabled=False):  # many processors have no LSTM in bfloat16
            states, _ = self.cell(self._rows(inputs))  # (N, rows, hidden)
        return self.output(self.dropout(states if self.at_each_place else states[:, -1]))

    def _rows(self, inputs):
        """The sequence, (N, rows, values)."""
        if self.pictures:
            return inputs.transpose(1, 2).flatten(2)
        return self.embedding(inputs) if self.tokens else inputs
