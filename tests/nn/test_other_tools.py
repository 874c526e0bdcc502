"""The lines of docs/layers.md, "With others' tools": what works, what does not, in which order."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.checkpoint import CheckpointError, checkpoint
from torch.utils.flop_counter import FlopCounterMode

from wnrepro.nn import (
    BatchNorm,
    MeanOnlyBatchNorm2d,
    WeightNormConv2d,
    WeightNormLinear,
    convert,
    data_dependent_init,
    fold,
    parameter_groups,
    torch_state_dict,
)

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def network() -> Any:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def test_the_page_has_no_line_without_a_test():
    page = Path(__file__).parents[2].joinpath("docs", "layers.md").read_text(encoding="utf-8")
    table = page.split("## With others' tools")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    tests = [name for name in globals() if name.startswith("test_tool_")]
    assert len(lines) == len(tests)


def merge(layer: nn.Linear, delta: torch.Tensor) -> None:
    """As PEFT merges LoRA and DoRA."""
    layer.weight.data += delta


def test_tool_adapters_after_fold():
    model, delta = convert(network()), torch.ones(3, 5)
    before = model[2].weight.detach().clone()
    merge(model[2], delta)
    assert torch.equal(model[2].weight, before)
    merge(fold(model)[2], delta)
    assert torch.equal(model[2].weight, before + delta)


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 0.5)


def test_tool_weights_init_before_convert():
    model = convert(network().apply(initialise))
    assert (model[0].weight == 0.5).all()
    v = model[0].v.detach().clone()
    nn.init.zeros_(model[0].weight)
    assert torch.equal(model[0].v, v)
    model[0].weight = torch.zeros(5, 4)
    assert not model[0].weight.any()
    assert not hasattr(MeanOnlyBatchNorm2d(3), "weight")


def test_tool_apply_does_not_see_tied_weights():
    model = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match=r"0\.weight and 1\.weight are one parameter"):
        convert(copy.deepcopy(model))
    model.apply(convert)
    assert isinstance(model[-1], WeightNormLinear)
    assert "v" in dict(model[1].named_parameters())  # and no longer the embedding's weight


def test_tool_processes_and_fold_of_the_module():
    """See also test_wrapped_models.py and test_processes.py."""

    class DistributedDataParallel(nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

    model: Any = DistributedDataParallel(convert(network()))
    with pytest.raises(ValueError, match=r"take the \.module"):
        fold(model)
    assert type(fold(model.module)[0]) is nn.Linear


def test_tool_compile_and_checkpointing_before_or_after():
    """See also test_wrapped_models.py."""
    model = network()
    expected = model(X)
    compiled: Any = torch.compile(model, backend="eager")
    torch.testing.assert_close(convert(compiled)(X), expected)
    torch.testing.assert_close(fold(compiled)(X), expected)


def torchs() -> Any:
    model = network()
    for layer in (model[0], model[2]):
        parametrizations.weight_norm(layer)
    return model


def test_tool_torchs_weight_norm_is_taken_over():
    theirs = torchs()
    expected, state = theirs(X), theirs.state_dict()
    for ours in (convert(torchs()), convert(network())):
        ours.load_state_dict(state)
        torch.testing.assert_close(ours(X), expected)
    torch.testing.assert_close(convert(theirs)(X), expected)


def test_tool_an_optimisers_state_of_torchs_weight_norm():
    theirs = torchs()
    assert [p.ndim for p in theirs[0].parameters()] == [1, 2, 2]  # b, g, v
    optimiser = torch.optim.Adam(theirs.parameters())
    theirs(X).sum().backward()
    optimiser.step()
    ours = convert(theirs)
    assert [name for name, _ in ours[0].named_parameters()] == ["v", "g", "bias"]
    another = torch.optim.Adam(ours.parameters())
    another.load_state_dict(optimiser.state_dict())
    ours(X).sum().backward()
    with pytest.raises(RuntimeError, match="size of tensor"):
        another.step()
    torch.optim.Adam(ours.parameters()).step()


def test_tool_cached():
    """See also test_layers.py."""
    cell: Any = WeightNormLinear(4, 4)
    with parametrize.cached():
        w = cell.weight
        for _ in range(3):
            assert cell.weight is w
        total = checkpoint(cell, X, use_reentrant=False).sum()
    with pytest.raises(CheckpointError):
        total.backward()


def test_tool_pruning_of_v():
    model = convert(network())
    with pytest.raises(TypeError, match="cannot assign"):
        prune.random_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[0], "v", 0.5)
    expected = model(X)
    for refused in (fold, torch_state_dict):
        with pytest.raises(ValueError, match=r"'0' .*pruning"):
            refused(model)
    prune.remove(model[0], "v")
    torch.testing.assert_close(fold(model)(X), expected)
    assert (model[0].weight == 0).sum() == 10


def test_tool_hooks_on_a_weight():
    model = network()
    handle = model[0].weight.register_hook(lambda grad: 0 * grad)
    with pytest.raises(ValueError, match=r"'0' .*has hooks"):
        convert(model)
    handle.remove()
    convert(model)[0].v.register_hook(lambda grad: 0 * grad)
    model(X).sum().backward()
    assert not model[0].v.grad.any()
    assert model[0].g.grad.any()


def test_tool_sync_batch_norm_before_or_after():
    def model() -> Any:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    for made in (
        nn.SyncBatchNorm.convert_sync_batchnorm(convert(model())),
        convert(nn.SyncBatchNorm.convert_sync_batchnorm(model())),
    ):
        assert [type(m) for m in made.children()] == [WeightNormConv2d, nn.SyncBatchNorm]
    for ours in (BatchNorm, MeanOnlyBatchNorm2d):
        with pytest.raises(AttributeError, match="cannot become"):
            nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(ours(4)))


def test_tool_freezing_by_class():
    model = convert(nn.Sequential(nn.Conv2d(3, 4, 3), MeanOnlyBatchNorm2d(4), BatchNorm(4)))
    state = copy.deepcopy(model.state_dict())
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | _BatchNorm):
            layer.eval().requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())
    model(torch.randn(2, 3, 5, 5))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_tool_quantisation_and_tracers_after_fold():
    model = convert(network())
    assert type(quantize_dynamic(model, {nn.Linear})[0]) is WeightNormLinear  # passed by
    expected = fold(model)(X)
    quantised = quantize_dynamic(model, {nn.Linear})
    assert type(quantised[0]).__module__.startswith("torch.ao")
    torch.testing.assert_close(quantised(X), expected, rtol=0.1, atol=0.1)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(X), expected)


def test_tool_flop_counters():
    def flops(model: nn.Module) -> int:
        with FlopCounterMode(display=False) as counter:
            model(X).sum().backward()
        return counter.get_total_flops()

    model = network()
    assert flops(model) == flops(convert(model)) > 0


def test_tool_multihead_attention():
    attention = convert(nn.MultiheadAttention(4, 2))
    assert not any(isinstance(m, WeightNormLinear) for m in attention.modules())
    x = torch.randn(3, 1, 4)
    expected = attention(x, x, x)[0]
    ours: Any = WeightNormLinear(4, 4)
    ours.load_state_dict(attention.out_proj.state_dict())
    attention.out_proj = ours
    torch.testing.assert_close(attention(x, x, x)[0], expected)
    attention(x, x, x)[0].square().sum().backward()
    assert ours.v.grad is not None
    attention.eval().requires_grad_(False)  # torch's fast path
    torch.testing.assert_close(attention(x, x, x)[0], expected)


def test_tool_packed_sequences():
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = WeightNormLinear(4, 3)

        def forward(self, x: PackedSequence) -> PackedSequence:
            return x._replace(data=self.layer(x.data))

    model, x = Packed(), pack_sequence([torch.randn(30, 4), torch.randn(20, 4)])
    assert data_dependent_init(model, (x,)) == ["layer"]
    torch.testing.assert_close(model(x).data.var(0, correction=0), torch.ones(3))


def test_groups_that_look_for_weight_leave_v_and_g_out():
    model = convert(network())
    assert not any(isinstance(m.weight, nn.Parameter) for m in (model[0], model[2]))
    assert not any("weight" in name for name, _ in model.named_parameters())
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1)) == 6
