"""Random streams with names."""

import torch

from wnrepro.randomness import Streams, derive


def test_streams_differ_by_seed_name_and_epoch() -> None:
    seeds = {
        derive(seed, name, epoch)
        for seed in (-1, 0, 1, 11)
        for name in ("init", "order", "noise", "dropout")
        for epoch in (-1, 0, 1, 11)
    }
    assert len(seeds) == 4 * 4 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)


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
