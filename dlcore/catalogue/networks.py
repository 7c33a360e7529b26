"""Networks: modules of our own, for architectures that PyTorch has none for."""

import torch
from torch import nn


class RowReader(nn.Module):
    """A recurrent cell over the rows of (N, C, H, W), top to bottom, then a linear layer on its last state."""

    def __init__(self, kind: str, shape: tuple[int, int, int], hidden: int, layers: int, dropout: float, outputs: int):
        super().__init__()
        cell = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.cell = cell(shape[0] * shape[2], hidden, layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, pictures):
        rows = pictures.transpose(1, 2).flatten(2)  # (N, H, C * W)
        with torch.autocast("cpu", enabled=False):  # many processors have no LSTM in bfloat16
            states, _ = self.cell(rows)  # (N, H, hidden)
        return self.output(self.dropout(states[:, -1]))
