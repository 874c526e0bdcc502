"""Mean-only batch norm is the paper's eq. 7, and its gradient eq. 8."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from wnrepro.nn.mean_only_batch_norm import (
    MeanOnlyBatchNorm1d,
    MeanOnlyBatchNorm2d,
    MeanOnlyBatchNorm3d,
)

# Torch's own, the first time forward-mode AD is used in a process.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

C = 3
CASES = [
    (MeanOnlyBatchNorm1d, (4, C)),
    (MeanOnlyBatchNorm1d, (4, C, 5)),
    (MeanOnlyBatchNorm2d, (2, C, 4, 3)),
    (MeanOnlyBatchNorm3d, (2, C, 2, 3, 2)),
]
every_case = pytest.mark.parametrize(("cls", "shape"), CASES)
BATCH_NORM = {
    MeanOnlyBatchNorm1d: nn.BatchNorm1d,
    MeanOnlyBatchNorm2d: nn.BatchNorm2d,
    MeanOnlyBatchNorm3d: nn.BatchNorm3d,
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 + torch.randn(shape, generator=generator, dtype=torch.float64)


def make(cls, **options):
    layer = cls(C, **options, dtype=torch.float64)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -1, 1)
    return layer


def per_channel(t: Tensor) -> Tensor:
    """(C, values of the channel)"""
    return t.movedim(1, 0).reshape(C, -1)


@every_case
@pytest.mark.parametrize("bias", [True, False])
def test_centres_each_channel_of_the_batch_at_its_bias(cls, shape, bias):
    layer, t = make(cls, bias=bias), draw(*shape)
    rows = per_channel(t)
    b = layer.bias[:, None] if bias else 0
    assert [name for name, _ in layer.named_parameters()] == (["bias"] if bias else [])
    torch.testing.assert_close(per_channel(layer(t)), rows - rows.sum(1, True) / rows.shape[1] + b)


@every_case
def test_gradient_is_eq_8(cls, shape):
    layer, t = make(cls), draw(*shape).requires_grad_()
    upstream = draw(*shape, seed=1)
    layer(t).backward(upstream)
    rows = per_channel(upstream)
    assert t.grad is not None
    torch.testing.assert_close(per_channel(t.grad), rows - rows.mean(1, keepdim=True))
    torch.testing.assert_close(layer.bias.grad, rows.sum(1))


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_derivatives_against_finite_differences(cls, shape, training):
    layer = make(cls, momentum=0.0).train(training)

    def function(t: Tensor, b: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"bias": b}, t).sin()

    inputs = (draw(*shape).requires_grad_(), draw(C, seed=1).requires_grad_())
    assert gradcheck(function, inputs, check_forward_ad=True)
    assert gradgradcheck(function, inputs)


@every_case
@pytest.mark.parametrize("momentum", [0.1, 0.25, 1.0, 0.0])
def test_running_mean_starts_at_0_and_follows_the_batches(cls, shape, momentum):
    layer, expected = make(cls, momentum=momentum), torch.zeros(C, dtype=torch.float64)
    for seed in range(3):
        t = draw(*shape, seed=seed)
        layer(t)
        expected = (1 - momentum) * expected + momentum * per_channel(t).mean(1)
        torch.testing.assert_close(layer.running_mean, expected)
    assert not layer.running_mean.requires_grad
    layer.reset_running_stats()
    assert (layer.running_mean == 0).all()


@every_case
def test_evaluation_uses_the_running_mean_and_leaves_it(cls, shape):
    layer = make(cls)
    layer(draw(*shape))
    running = layer.running_mean.clone()
    layer.eval()
    t = draw(1, *shape[1:], seed=4)  # one sample is enough here
    expected = per_channel(t) - running[:, None] + layer.bias[:, None]
    torch.testing.assert_close(per_channel(layer(t)), expected)
    assert torch.equal(layer.running_mean, running)


@every_case
def test_centres_as_torchs_batch_norm_does(cls, shape):
    ours, theirs = make(cls, bias=False), BATCH_NORM[cls](C, affine=False, dtype=torch.float64)
    for seed in range(2):
        t = draw(*shape, seed=seed)
        std = per_channel(t).var(1, correction=0).add(theirs.eps).sqrt()
        scaled = per_channel(ours(t)) / std[:, None]
        torch.testing.assert_close(scaled, per_channel(theirs(t)))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)


@every_case
def test_a_constant_added_to_a_channel_does_not_matter(cls, shape):
    layer, t = make(cls), draw(*shape)
    shifted = t + draw(C, seed=5).view(-1, *(1,) * (t.ndim - 2))
    torch.testing.assert_close(layer(shifted), layer(t))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_the_mean_in_float32(dtype):
    # 40,000 values of about 100: their sum overflows float16 and stalls in bfloat16.
    t = (100 + draw(400, C, 10, 10)).to(dtype)
    for layer in (MeanOnlyBatchNorm2d(C), MeanOnlyBatchNorm2d(C, dtype=dtype)):
        out = layer(t)
        assert out.dtype == dtype
        exact = t.double() - t.double().mean((0, 2, 3), keepdim=True)
        torch.testing.assert_close(out.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-4)
        assert layer.running_mean.isfinite().all()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_bfloat16_is_the_rounded_result_of_float64(order, training, bias):
    """Its kernels on a CPU are others than those of the wider types."""
    t = (3 * draw(16, C, 9, 7)).bfloat16().to(memory_format=order).requires_grad_()
    upstream = (1 + draw(16, C, 9, 7, seed=1)).bfloat16().to(memory_format=order)
    layer = MeanOnlyBatchNorm2d(C, bias=bias).train(training)
    layer.running_mean.fill_(0.7)
    exact, wide = copy.deepcopy(layer).double(), t.detach().double().requires_grad_()
    out = layer(t)
    out.backward(upstream)
    expected = exact(wide)
    expected.backward(upstream.double())
    close = {"rtol": 2**-8, "atol": 2e-5}
    assert out.stride() == t.stride()
    torch.testing.assert_close(out.double(), expected, **close)
    assert t.grad is not None
    torch.testing.assert_close(t.grad.double(), wide.grad, **close)
    torch.testing.assert_close(layer.running_mean.double(), exact.running_mean, **close)
    if bias:
        ours, theirs = (each.get_parameter("bias").grad for each in (layer, exact))
        assert ours is not None
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=0)


def test_bfloat16_has_a_second_derivative():
    layer, t = MeanOnlyBatchNorm1d(C), draw(6, C).bfloat16().requires_grad_()
    (first,) = torch.autograd.grad(layer(t).square().sum() / 2, t, create_graph=True)
    (second,) = torch.autograd.grad(first[0, 0], t)
    expected = torch.zeros(6, C)
    expected[:, 0] = -1 / 6
    expected[0, 0] += 1
    torch.testing.assert_close(second.float(), expected, rtol=2**-6, atol=1e-6)


def test_dtypes_of_layer_and_input_may_differ():
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for training in (True, False):
            layer = MeanOnlyBatchNorm1d(C, dtype=torch.float32).train(training)
            assert layer(draw(4, C).to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("cls", "shape", "memory_format"),
    [
        (MeanOnlyBatchNorm2d, (2, C, 4, 3), torch.channels_last),
        (MeanOnlyBatchNorm3d, (2, C, 2, 3, 2), torch.channels_last_3d),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_is_kept(cls, shape, memory_format, training):
    layer = make(cls).train(training)
    t = draw(*shape).to(memory_format=memory_format).requires_grad_()
    out = layer(t)
    assert out.stride() == t.stride()
    torch.testing.assert_close(out, layer(t.detach().contiguous()))


@every_case
def test_copies_are_equal_and_independent(cls, shape):
    layer, t = make(cls), draw(*shape)
    layer(t)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301
        assert torch.equal(other.eval()(t), layer.eval()(t))
        other.train()(t)
        assert not torch.equal(other.running_mean, layer.running_mean)
        fresh = make(cls)
        fresh.load_state_dict(other.state_dict())
        assert torch.equal(fresh.eval()(t), other.eval()(t))


@every_case
def test_compiles_as_one_graph_and_exports(cls, shape):
    layer, t = make(cls), draw(*shape)
    in_place = copy.deepcopy(layer)
    compiled = torch.compile(in_place, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(copy.deepcopy(layer), (t,)).module()
    for _ in range(2):
        expected = layer(t)
        torch.testing.assert_close(compiled(t), expected)
        torch.testing.assert_close(exported(t), expected)
    for other in (in_place, exported):
        torch.testing.assert_close(dict(other.named_buffers())["running_mean"], layer.running_mean)


def test_resets():
    layer = make(MeanOnlyBatchNorm2d)
    layer(draw(2, C, 2, 2))
    layer.reset_parameters()
    assert (layer.bias == 0).all()
    assert (layer.running_mean == 0).all()
    assert str(layer) == "MeanOnlyBatchNorm2d(3, momentum=0.1, bias=True)"


@pytest.mark.parametrize(
    ("cls", "shape"),
    [
        (MeanOnlyBatchNorm1d, (C,)),
        (MeanOnlyBatchNorm1d, (2, C, 3, 3)),
        (MeanOnlyBatchNorm1d, (2, C + 1)),
        (MeanOnlyBatchNorm2d, (2, C, 3)),
        (MeanOnlyBatchNorm2d, (C, 3, 3)),
        (MeanOnlyBatchNorm2d, (2, 1, 3, 3)),
        (MeanOnlyBatchNorm3d, (2, C, 3, 3)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_other_shapes_are_refused(cls, shape, training):
    with pytest.raises(ValueError, match=f"{cls.__name__} takes .* with C = {C}, got") as error:
        cls(C).train(training)(torch.ones(shape))
    assert str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize(
    ("cls", "shape"),
    [
        (MeanOnlyBatchNorm1d, (1, C)),
        (MeanOnlyBatchNorm2d, (1, C, 1, 1)),
        (MeanOnlyBatchNorm2d, (0, C, 2, 2)),
    ],
)
def test_a_batch_without_a_mean_of_its_own_is_refused_in_training_only(cls, shape):
    layer = cls(C)
    with pytest.raises(ValueError, match="more than one value per channel"):
        layer(torch.ones(shape))
    assert torch.equal(layer.running_mean, torch.zeros(C))
    assert layer.eval()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan"), None])
def test_a_momentum_outside_0_to_1_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum must lie in"):
        MeanOnlyBatchNorm1d(C, momentum=momentum)


def test_torchs_positional_eps_is_not_taken_for_a_momentum():
    with pytest.raises(TypeError, match="positional"):
        MeanOnlyBatchNorm1d(C, 1e-5)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.complex64])
@pytest.mark.parametrize("training", [True, False])
def test_an_input_of_another_kind_of_number_is_refused(dtype, training):
    with pytest.raises(TypeError, match="takes a floating-point input"):
        MeanOnlyBatchNorm1d(C).train(training)(torch.ones(4, C).to(dtype))
