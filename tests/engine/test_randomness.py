import subprocess
import sys

import torch

from dlcore.engine.randomness import RandomState, derive, generator


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
