import pytest
import torch

from dlcore.catalogue.networks import RowReader
from dlcore.catalogue.spec import Series, Tokens

TEXT, SERIES = Tokens(("a", "b", "c"), 4), Series(4, ("x", "y"))


def states(model, rows):
    """A plain cell's state after each row, by its formula."""
    cell, state = model.cell, torch.zeros(model.cell.hidden_size)
    for row in rows:
        state = torch.tanh(cell.weight_ih_l0 @ row + cell.bias_ih_l0 + cell.weight_hh_l0 @ state + cell.bias_hh_l0)
        yield state


@pytest.mark.parametrize("inputs", [TEXT, SERIES], ids=["tokens", "series"])
def test_a_sequence_is_read_from_its_first_row_to_its_last(inputs):
    model = RowReader("rnn", inputs, 5, 1, 0.0, (2,)).eval()
    sample = torch.tensor([2, 0, 1, 1]) if inputs == TEXT else torch.rand(4, 2)
    rows = [model.embedding.weight[token] for token in sample] if inputs == TEXT else sample
    with torch.no_grad():
        *_, last = states(model, rows)
        expected = model.output.weight @ last + model.output.bias
        torch.testing.assert_close(model(sample[None])[0], expected, rtol=1e-5, atol=1e-6)


def test_at_each_place_it_answers_from_what_it_has_read_by_then():
    model = RowReader("rnn", TEXT, 5, 1, 0.0, (4, 3)).eval()
    tokens = torch.tensor([2, 0, 1, 1])
    with torch.no_grad():
        expected = [
            model.output.weight @ state + model.output.bias
            for state in states(model, [model.embedding.weight[token] for token in tokens])
        ]
        torch.testing.assert_close(model(tokens[None])[0], torch.stack(expected), rtol=1e-5, atol=1e-6)
