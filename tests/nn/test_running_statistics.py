"""Torch's tools that look for batch norms find ours, and do what is right or say why not."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import AveragedModel, update_bn

from wnrepro.nn import (
    BatchNorm,
    MeanOnlyBatchNorm1d,
    MeanOnlyBatchNorm2d,
    NormalizedLayer,
    WeightNormConv2d,
)

Kind = type[BatchNorm] | type[MeanOnlyBatchNorm2d]
KINDS = [BatchNorm, MeanOnlyBatchNorm2d]
every_kind = pytest.mark.parametrize("kind", KINDS)


def batches(n: int = 4) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(6 + k, 3, 4, 5, dtype=torch.float64) * (1 + k) + k for k in range(n)]


def trained(kind: Kind) -> BatchNorm | MeanOnlyBatchNorm2d:
    """A layer of which the parameters and the running averages are not those of the start."""
    layer = kind(3, dtype=torch.float64)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, 1, 2)
    layer(batches()[-1])
    return layer


@every_kind
@pytest.mark.parametrize("compiled", [False, True])
def test_update_bn_averages_over_all_batches(kind: Kind, compiled: bool) -> None:
    layer = trained(kind)
    model = torch.compile(layer, backend="eager", fullgraph=True) if compiled else layer
    update_bn(batches(), model)
    mean = torch.stack([t.mean((0, 2, 3)) for t in batches()]).mean(0)
    torch.testing.assert_close(layer.running_mean, mean)
    if isinstance(layer, BatchNorm):
        var = [t.var((0, 2, 3), correction=0) * len(t) / (len(t) - 1) for t in batches()]
        torch.testing.assert_close(layer.running_var, torch.stack(var).mean(0))
    assert layer.momentum == 0.1
    before = layer.get_buffer("running_mean").clone()
    layer(batches()[0])
    mean = before.lerp(batches()[0].mean((0, 2, 3)), 0.1)
    torch.testing.assert_close(layer.running_mean, mean)
    torch.compiler.reset()


def test_update_bn_agrees_with_torchs_layer() -> None:
    ours = nn.Sequential(nn.Conv2d(3, 3, 3), MeanOnlyBatchNorm2d(3)).double()
    theirs = nn.Sequential(copy.deepcopy(ours[0]), nn.BatchNorm2d(3)).double()
    averaged = AveragedModel(ours, use_buffers=True)
    averaged.update_parameters(ours), averaged.update_parameters(ours)
    for model in (ours, theirs, averaged):
        update_bn([(t, None) for t in batches()], model)
    for model in (ours, averaged.get_submodule("module")):
        torch.testing.assert_close(model.get_buffer("1.running_mean"), theirs[1].running_mean)


@every_kind
def test_conversion_to_sync_batch_norm_is_refused(kind: Kind) -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), kind(3))
    with pytest.raises(AttributeError, match=f"{kind.__name__} has no .*cannot become"):
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(model[1]) is kind


def test_folding_into_a_convolution_is_right_or_refused() -> None:
    t = batches()[0]
    for conv in (nn.Conv2d(3, 3, 2).double(), WeightNormConv2d(3, 3, 2).double()):
        layer = trained(BatchNorm).eval()
        fused = fuse_conv_bn_eval(conv.eval(), layer)
        torch.testing.assert_close(fused(t), layer(conv(t)))
        with pytest.raises(AssertionError, match="running_var must not be None"):
            fuse_conv_bn_eval(conv, trained(MeanOnlyBatchNorm2d).eval())


@every_kind
def test_without_running_averages_the_batch_counts_in_evaluation_too(kind: Kind) -> None:
    layer, t = trained(kind), batches()[0]
    expected = copy.deepcopy(layer)(t)
    torch.func.replace_all_batch_norm_modules_(nn.Sequential(layer))
    assert not list(layer.buffers())
    for training in (True, False):
        torch.testing.assert_close(layer.train(training)(t), expected)
    layer.reset_running_stats()
    parameters = {k: torch.stack([v, 2 * v]) for k, v in layer.named_parameters()}
    both = torch.vmap(lambda p: torch.func.functional_call(layer, p, t))(parameters)
    torch.testing.assert_close(both[0], expected)


@every_kind
def test_it_is_found_by_class_and_saved_as_before(kind: Kind) -> None:
    layer = trained(kind)
    assert isinstance(layer, _BatchNorm)
    state = layer.state_dict()
    names = {"bias", "running_mean"} | ({"g", "running_var"} if kind is BatchNorm else set())
    assert set(state) == names
    other = kind(3, dtype=torch.float64)
    older = dict(state)  # as torch.save kept it: without torch's version of a batch norm
    for each in (state, older):
        other.load_state_dict(each)
        assert torch.equal(other.eval()(batches()[0]), layer.eval()(batches()[0]))
    if isinstance(layer, BatchNorm):
        assert layer.get_parameter("g") is layer.weight


@every_kind
def test_its_start(kind: Kind) -> None:
    layer = trained(kind)
    layer.reset_parameters()
    for key, value in kind(3, dtype=torch.float64).state_dict().items():
        assert torch.equal(layer.state_dict()[key], value)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace", "ignore::torch.jit.TracerWarning")
def test_it_can_be_traced() -> None:
    for layer, shape in ((MeanOnlyBatchNorm1d(3), (5, 3)), (BatchNorm(3), (5, 3, 2))):
        t = torch.randn(shape)
        traced = torch.jit.trace(layer.eval(), t)
        torch.testing.assert_close(traced(t), layer(t))  # pyright: ignore[reportCallIssue]
    assert isinstance(NormalizedLayer("bn", nn.Linear(2, 2)).normaliser, _BatchNorm)
