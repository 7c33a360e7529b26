import subprocess
import sys

import pytest
import torch

from dlcore.engine.randomness import Drawing, RandomState, derive, generator


def test_a_derived_seed_fits_63_bits_and_is_the_same_in_every_process():
    # Python's own hash() would differ: it is salted anew in each process.
    program = "from dlcore.engine.randomness import derive; print(derive(7, 'order', 3))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive(7, "order", 3)
    assert 0 <= derive(7, "order", 3) < 2**63


def test_derived_seeds_differ_by_seed_by_purpose_and_by_number():
    seeds = {derive(seed, purpose, number) for seed in range(20) for purpose in "ab" for number in range(20)}
    assert len(seeds) == 20 * 2 * 20


def test_names_are_not_run_together():
    assert len({derive(1, "ab", "c"), derive(1, "a", "bc"), derive(1, "abc"), derive(11, "ab", "c")}) == 4
    assert derive(0, 1) != derive(0, "1")


def test_a_generator_gives_the_same_numbers_again_whatever_was_drawn_elsewhere():
    first = torch.rand(5, generator=generator(3, "order", 1))
    torch.rand(100)
    assert torch.equal(torch.rand(5, generator=generator(3, "order", 1)), first)
    assert not torch.equal(torch.rand(5, generator=generator(3, "order", 2)), first)
    assert not torch.equal(torch.rand(5, generator=generator(4, "order", 1)), first)


def test_making_a_generator_leaves_the_default_one_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    generator(9, "weights")
    assert torch.equal(torch.rand(3), expected)


def test_two_runs_that_take_turns_draw_what_each_would_alone():
    alone = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        alone.append(torch.rand(6))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(RandomState("cpu"))
    together = [[], []]
    for _ in range(3):
        for state, drawn in zip(states, together, strict=True):
            state.restore()
            drawn.append(torch.rand(2))
            state.save()
    for expected, drawn in zip(alone, together, strict=True):
        assert torch.equal(torch.cat(drawn), expected)


def test_restoring_twice_goes_back_to_the_same_place():
    torch.manual_seed(5)
    state = RandomState("cpu")
    first = torch.rand(4)
    state.restore()
    assert torch.equal(torch.rand(4), first)


def test_what_a_thread_draws_can_come_from_another_generator_in_the_same_numbers():
    def draw() -> list[torch.Tensor]:
        return [torch.empty(3).uniform_(), torch.empty(20).normal_(), torch.nn.LSTM(3, 4).weight_hh_l0.detach()]

    torch.manual_seed(4)
    plain, before = draw(), torch.get_rng_state()
    with Drawing(torch.Generator().manual_seed(4)):
        drawn = draw()
    assert all(torch.equal(one, other) for one, other in zip(plain, drawn, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_can_draw_from_a_default_generator_alone_is_refused():
    with Drawing(torch.Generator()), pytest.raises(RuntimeError, match="from no other"):
        torch.rand(3)
