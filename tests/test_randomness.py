"""Random streams with names."""

import torch

from wnrepro.randomness import BEFORE_TRAINING, Streams, derive

NAMES = ("init", "noise", "dropout")


def test_streams_differ_by_seed_name_and_epoch() -> None:
    seeds = {
        derive(seed, name, epoch)
        for seed in (-1, 0, 1, 11)
        for name in ("init", "order", "noise", "dropout")
        for epoch in (-1, 0, 1, 11)
    }
    assert len(seeds) == 4 * 4 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def drawn(seed: int, epoch: int) -> dict[str, list[int]]:
    """The first four draws of every stream in that epoch, and the order of ten images."""
    streams = Streams(seed)
    streams.start_epoch(epoch)
    numbers = {
        name: torch.randint(1_000_000, (4,), generator=streams[name]).tolist() for name in NAMES
    }
    return {**numbers, "order": streams.permutation(10, epoch).tolist()}


def test_no_two_draws_are_the_same_in_another_seed_epoch_or_stream() -> None:
    draws = [
        tuple(numbers)
        for seed in (0, 1, 11)
        for epoch in (BEFORE_TRAINING, 0, 1, 11)
        for numbers in drawn(seed, epoch).values()
    ]
    assert len(set(draws)) == len(draws) == 3 * 4 * 4


def test_the_draws_are_those_of_all_runs_so_far() -> None:
    """Other numbers here are other runs from the same seed: those that are kept cannot be redone.

    They are the same with torch 2.11 and 2.15; torch itself promises nothing between versions.
    """
    assert drawn(seed=3, epoch=4) == {
        "init": [281158, 327670, 719495, 767191],
        "noise": [692563, 300331, 64536, 371917],
        "dropout": [767753, 148095, 305928, 268705],
        "order": [6, 4, 0, 5, 2, 1, 9, 8, 7, 3],
    }


def test_new_streams_are_those_before_training() -> None:
    streams = Streams(3)
    numbers = {
        name: torch.randint(1_000_000, (4,), generator=streams[name]).tolist() for name in NAMES
    }
    assert numbers.items() <= drawn(3, BEFORE_TRAINING).items()


def test_a_stream_is_the_same_whatever_was_drawn_before() -> None:
    one, other = Streams(3), Streams(3)
    for _ in range(5):
        torch.rand(7, generator=one["noise"])
    one.start_epoch(4)
    other.start_epoch(4)
    for name in one:
        assert torch.equal(torch.rand(9, generator=one[name]), torch.rand(9, generator=other[name]))


def test_state_round_trip() -> None:
    streams = Streams(3)
    torch.rand(5, generator=streams["dropout"])
    state = streams.state_dict()
    expected = torch.rand(5, generator=streams["dropout"])
    other = Streams(0)
    other.load_state_dict(state)
    assert torch.equal(torch.rand(5, generator=other["dropout"]), expected)


def test_the_order_is_a_permutation_of_its_own_for_each_epoch() -> None:
    streams = Streams(3)
    orders = [streams.permutation(100, epoch) for epoch in range(3)]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(100))
    assert not torch.equal(orders[0], orders[1])
    torch.rand(5, generator=streams["init"])
    assert torch.equal(streams.permutation(100, 1), orders[1])
