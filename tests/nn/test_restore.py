"""What the data-dependent init must leave alone, it leaves alone: name, object and value."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wnrepro.nn import WeightNormLinear, data_dependent_init


class Stateful(nn.Module):
    """Changes what it holds in every way that forwards in public code do."""

    in_place: Tensor
    by_data: Tensor
    queue: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("replaced", torch.zeros(4))
        self.register_buffer("in_place", torch.zeros(4))
        self.register_buffer("by_data", torch.zeros(4), persistent=False)
        self.register_buffer("queue", torch.zeros(4))
        self.register_buffer("later", None)
        self.draws = torch.Generator()
        self.average = nn.Parameter(torch.zeros(4), requires_grad=False)
        self.codebook = nn.Parameter(torch.zeros(4))
        self.exchanged = nn.Parameter(torch.zeros(4))
        self.attribute = torch.zeros(4)
        self.attribute_in_place = torch.zeros(4)
        self.ready, self.steps, self.head = False, 0, None
        self.by_name, self.history = {"mean": torch.zeros(4)}, [torch.zeros(4)]

    def forward(self, t: Tensor) -> Tensor:
        mean = t.detach().mean(0) + 1
        self.replaced = 0.9 * self.replaced + mean
        self.in_place.lerp_(mean, 0.1)
        self.by_data.data.add_(mean)
        self.queue.data = torch.cat([self.queue, mean])
        torch.rand(1, generator=self.draws)
        self.later = mean
        self.average.mul_(0.9).add_(mean)
        self.codebook.data = mean.clone()
        self.exchanged = nn.Parameter(mean)
        self.attribute = mean
        self.attribute_in_place += mean
        self.new = mean
        self.by_name["mean"] += mean
        self.by_name["newest"] = self.by_name["mean"].clone()
        self.history[0] += mean
        self.history.append(mean)
        if not self.ready:
            self.ready, self.head = True, nn.Linear(4, 4)
        self.steps += 1
        return t


def picture(model: nn.Module) -> dict[str, Any]:
    """Every attribute of every module by name: the object, and a copy of its value."""
    seen: dict[str, Any] = {}
    for prefix, module in model.named_modules():
        held = vars(module)
        history = dict(enumerate(held.get("history", [])))
        for part in (held, *filter(lambda value: isinstance(value, dict), held.values()), history):
            for name, value in part.items():
                key = f"{prefix}/{name}"
                kept = value.detach().clone() if isinstance(value, Tensor) else None
                if isinstance(value, torch.Generator):
                    kept = value.get_state()
                seen[key] = (value, kept)
    return seen


def assert_same(model: nn.Module, before: dict[str, Any], but: set[str] = frozenset()) -> None:
    after = picture(model)
    assert after.keys() == before.keys()
    for key, (value, kept) in after.items():
        assert value is before[key][0], key
        if kept is not None:
            assert torch.equal(kept, before[key][1]) != (key in but), key


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_forward_changes_is_put_back(fails: bool) -> None:
    model = nn.Sequential(WeightNormLinear(5, 4), Stateful(), nn.BatchNorm1d(4))
    model.append(WeightNormLinear(4, 3))
    if fails:
        nn.init.zeros_(model[3].get_parameter("v"))
    before, order = picture(model), list(model.state_dict())
    if fails:
        with pytest.raises(ValueError, match="variance 0"):
            data_dependent_init(model, torch.randn(30, 5))
        assert_same(model, before)
    else:
        data_dependent_init(model, torch.randn(30, 5))
        assert_same(model, before, {"0/g", "0/bias", "3/g", "3/bias"})
    assert list(model.state_dict()) == order


def test_a_subclass_of_a_layer_may_hold_running_averages() -> None:
    class Normalised(WeightNormLinear):
        def __init__(self) -> None:
            super().__init__(5, 4)
            self.norm = nn.BatchNorm1d(4)
            self.state = Stateful()

        def forward(self, input: Tensor) -> Tensor:
            self.v.data.mul_(2)
            return self.state(self.norm(super().forward(input)))

    model = nn.Sequential(Normalised())
    before = picture(model)
    data_dependent_init(model, torch.randn(30, 5))
    assert_same(model, before, {"0/g", "0/bias"})


def test_a_graph_made_before_can_still_be_differentiated() -> None:
    model = nn.Sequential(nn.Linear(5, 4), WeightNormLinear(4, 3))
    x = torch.randn(30, 5)
    loss = model[0](x).square().sum()
    hidden = loss + (x @ model[0].get_parameter("weight").square().T).sum()
    data_dependent_init(model, x)
    hidden.backward()
    assert model[0].get_parameter("weight").grad is not None
