"""The layers compute what torch's layers compute with w = g·v/‖v‖, and live where those live."""

import copy
import inspect
import io
import pickle
import shutil
import sysconfig
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel

from wnrepro.nn.layers import (
    WeightNormConv1d,
    WeightNormConv2d,
    WeightNormConv3d,
    WeightNormConvTranspose1d,
    WeightNormConvTranspose2d,
    WeightNormConvTranspose3d,
    WeightNormLayer,
    WeightNormLinear,
)

CIRCULAR = {"padding_mode": "circular"}
REFLECT = {"padding": "same", "padding_mode": "reflect"}
STRIDED = {"stride": 2, "output_padding": 1}
GROUPED = {"groups": 2, "bias": False}
CASES: list[tuple[type, dict[str, Any], tuple[int, ...]]] = [
    (WeightNormLinear, {}, (2, 4)),
    (WeightNormLinear, {"bias": False}, (2, 3, 4)),
    (WeightNormLinear, {}, (4,)),
    (WeightNormConv1d, {"kernel_size": 3}, (2, 4, 9)),
    (WeightNormConv1d, {"kernel_size": 3, "groups": 2, "padding": 2} | CIRCULAR, (2, 4, 9)),
    (WeightNormConv1d, {"kernel_size": 3, "bias": False}, (4, 9)),
    (WeightNormConv2d, {"kernel_size": 3, "stride": 2, "padding": 1}, (2, 4, 7, 7)),
    (WeightNormConv2d, {"kernel_size": (2, 3), "dilation": 2} | REFLECT, (2, 4, 7, 8)),
    (WeightNormConv2d, {"kernel_size": 1, "groups": 2, "bias": False}, (4, 5, 5)),
    (WeightNormConv2d, {"kernel_size": 3, "padding": 1, "padding_mode": "replicate"}, (2, 4, 5, 5)),
    (WeightNormConv3d, {"kernel_size": 2, "groups": 2}, (2, 4, 3, 4, 5)),
    (WeightNormConv3d, {"kernel_size": 3, "padding": 1, "bias": False}, (4, 3, 3, 3)),
    (WeightNormConvTranspose1d, {"kernel_size": 3, "groups": 2}, (2, 4, 5)),
    (WeightNormConvTranspose1d, {"kernel_size": 3} | STRIDED, (4, 5)),
    (WeightNormConvTranspose2d, {"kernel_size": 3, "padding": 1} | STRIDED, (2, 4, 5, 5)),
    (WeightNormConvTranspose2d, {"kernel_size": (2, 3), "dilation": 2} | GROUPED, (2, 4, 5, 5)),
    (WeightNormConvTranspose3d, {"kernel_size": 2, "groups": 2}, (2, 4, 3, 3, 3)),
    (WeightNormConvTranspose3d, {"kernel_size": 2, "stride": 2}, (4, 3, 3, 3)),
]  # fmt: skip
ONE_OF_EACH = [CASES[i] for i in (0, 4, 6, 10, 12, 15, 16)]


def ids(cases):
    return [f"{case[0].__name__}-{i}" for i, case in enumerate(cases)]


every_case = pytest.mark.parametrize(("cls", "options", "shape"), CASES, ids=ids(CASES))
every_class = pytest.mark.parametrize(
    ("cls", "options", "shape"), ONE_OF_EACH, ids=ids(ONE_OF_EACH)
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(cls: type, options: dict[str, Any], dtype: torch.dtype = torch.float64) -> Any:
    """A layer of 4 inputs and 6 outputs whose v, g and bias are all unlike each other."""
    layer = cls(4, 6, **options, dtype=dtype)
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=i + 1))
    return layer


def unit_index(layer: Any, unit: int) -> tuple[Any, ...]:
    """Where the weights of an output unit lie in the weight."""
    if not isinstance(layer, nn.modules.conv._ConvTransposeNd):
        return (unit,)
    ins, outs = 4 // layer.groups, 6 // layer.groups
    group = unit // outs
    return (slice(group * ins, (group + 1) * ins), unit % outs)


def weight_of(layer: Any) -> Tensor:
    """w, unit by unit in the order of the output."""
    v, g = layer.v.detach(), layer.g.detach()
    w = torch.empty_like(v)
    for unit in range(6):
        index = unit_index(layer, unit)
        w[index] = g[unit] * v[index] / (v[index] ** 2).sum() ** 0.5
    return w


@every_case
def test_output_is_that_of_torchs_layer_with_the_weight_of_eq_2(cls, options, shape):
    layer = make(cls, options)
    plain = cls.plain(4, 6, **options, dtype=torch.float64)
    with torch.no_grad():
        plain.weight.copy_(weight_of(layer))
        if plain.bias is not None:
            plain.bias.copy_(layer.bias)
    x = draw(*shape)
    torch.testing.assert_close(layer(x), plain(x))
    torch.testing.assert_close(layer.weight, plain.weight)
    assert isinstance(layer, cls.plain)
    assert str(layer) == str(plain).replace(cls.plain.__name__, cls.__name__)
    assert inspect.signature(cls) == inspect.signature(cls.plain)


@every_case
def test_parameters_are_v_and_one_g_per_output_unit(cls, options, shape):
    layer = cls(4, 6, **options)
    bias = ["bias"] if options.get("bias", True) else []
    assert [name for name, _ in layer.named_parameters()] == ["v", "g", *bias]
    assert list(layer.state_dict()) == ["v", "g", *bias]
    assert layer.g.shape == (6,)
    assert layer.v.shape == cls.plain(4, 6, **options).weight.shape
    layer(torch.randn(shape)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


@every_case
def test_g_scales_exactly_its_own_output_unit(cls, options, shape):
    layer = make(cls, options | {"bias": False})
    x = draw(*shape)
    before = layer(x)
    for unit in range(6):
        changed = copy.deepcopy(layer)
        with torch.no_grad():
            changed.g[unit] *= -2
        factor = torch.ones(6, dtype=torch.float64)
        factor[unit] = -2
        after = changed(x).movedim(cls.output_axis, -1)
        torch.testing.assert_close(after, before.movedim(cls.output_axis, -1) * factor)


@every_case
def test_starts_as_torchs_layer_and_resets_as_it(cls, options, shape):
    torch.manual_seed(3)
    plain: Any = cls.plain(4, 6, **options)
    torch.manual_seed(3)
    layer = cls(4, 6, **options)
    assert torch.equal(layer.weight, plain.weight)
    torch.testing.assert_close(layer.g, layer.v_norm)
    parameters = dict(layer.named_parameters())
    for parameter in parameters.values():
        nn.init.constant_(parameter, 7)
    torch.manual_seed(3)
    layer.reset_parameters()
    assert torch.equal(layer.weight, plain.weight)
    assert torch.equal(layer.v, plain.weight)
    if plain.bias is not None:
        assert torch.equal(cast(Tensor, layer.bias), plain.bias)
    assert {name: id(p) for name, p in layer.named_parameters()} == {
        name: id(p) for name, p in parameters.items()
    }


@every_class
def test_v_norm_and_scale_output(cls, options, shape):
    layer = make(cls, options)
    lengths = [(layer.v[unit_index(layer, unit)] ** 2).sum() ** 0.5 for unit in range(6)]
    torch.testing.assert_close(layer.v_norm, torch.stack(lengths))

    x = draw(*shape)
    t = layer(x).movedim(cls.output_axis, -1)
    mean, std = draw(6, seed=8), draw(6, seed=9).abs() + 0.5
    identities = [id(p) for p in layer.parameters()]
    layer.scale_output_(mean, std)
    after = layer(x).movedim(cls.output_axis, -1)
    expected = (t - mean) / std if layer.bias is not None else t / std
    torch.testing.assert_close(after, expected)
    assert [id(p) for p in layer.parameters()] == identities
    with pytest.raises(ValueError, match=r"std must have shape \(6,\)"):
        layer.scale_output_(mean, std[:1])


@every_class
def test_assigning_a_weight_splits_it_in_place(cls, options, shape):
    layer = make(cls, options)
    w = draw(*layer.v.shape, seed=5)
    parameters = [id(p) for p in layer.parameters()]
    for value in (w, nn.Parameter(w)):
        nn.init.ones_(layer.v)
        layer.weight = value
        assert torch.equal(layer.weight, w)
        assert [id(p) for p in layer.parameters()] == parameters
    with pytest.raises(ValueError, match="weight must have shape"):
        layer.weight = w[:1]
    with pytest.raises(TypeError, match="NoneType"):
        layer.weight = None
    assert torch.equal(layer.v, w)


@every_class
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],  # noqa: S301
    ids=["deepcopy", "pickle"],
)
def test_copies_are_equal_and_independent(cls, options, shape, duplicate):
    layer = make(cls, options)
    x = draw(*shape)
    before = layer(x)
    other = duplicate(layer)
    assert type(other) is cls
    assert torch.equal(other(x), before)
    nn.init.zeros_(other.g)
    assert torch.equal(layer(x), before)
    assert not torch.equal(other(x), before)


@every_class
def test_state_survives_a_file(cls, options, shape):
    layer, other = make(cls, options), cls(4, 6, **options, dtype=torch.float64)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(draw(*shape)), layer(draw(*shape)))
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    whole = torch.load(file, weights_only=False)
    assert torch.equal(whole(draw(*shape)), layer(draw(*shape)))


@every_class
def test_averaged_model_averages_v_and_g(cls, options, shape):
    layer = make(cls, options)
    average = AveragedModel(layer)
    average.update_parameters(layer)
    with torch.no_grad():
        layer.g.mul_(3)
        layer.v.neg_()
    average.update_parameters(layer)
    torch.testing.assert_close(average.module.g, layer.g * 2 / 3)
    torch.testing.assert_close(average.module.v, torch.zeros_like(layer.v))
    assert average(draw(*shape)).isfinite().all()


@every_class
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(cls, options, shape, dtype):
    layer = make(cls, options, torch.float32)
    x = draw(*shape).float()
    with torch.autocast("cpu", dtype=dtype):
        y = layer(x)
        assert layer.weight.dtype == torch.float32
        assert y.dtype == dtype
        y.float().square().sum().backward()
    torch.testing.assert_close(y.float(), layer(x), rtol=0.05, atol=0.1)
    for parameter in layer.parameters():
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()


@every_class
def test_dtype_moves(cls, options, shape):
    layer = make(cls, options)
    y = layer(draw(*shape))
    for dtype in (torch.float32, torch.bfloat16):
        moved = copy.deepcopy(layer).to(dtype)
        assert {p.dtype for p in moved.parameters()} == {dtype}
        low = moved(draw(*shape).to(dtype))
        assert low.dtype == dtype
        tolerance = 50 * torch.finfo(dtype).eps
        torch.testing.assert_close(low.double(), y, rtol=tolerance, atol=tolerance)


@every_class
def test_meta_device(cls, options, shape):
    layer = cls(4, 6, **options, device="meta")
    assert layer(torch.empty(shape, device="meta")).device.type == "meta"
    layer.to_empty(device="cpu")
    torch.manual_seed(1)
    layer.reset_parameters()
    torch.manual_seed(1)
    assert torch.equal(layer.weight, cls(4, 6, **options).weight)


@every_class
def test_functional_call_and_per_sample_gradients(cls, options, shape):
    layer = make(cls, options)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    changed = parameters | {"g": 2 * parameters["g"], "bias": 0 * parameters["g"]}
    changed = {name: changed[name] for name in parameters}
    x = draw(3, *shape)
    doubled = torch.func.functional_call(layer, changed, x[0])
    linear = copy.deepcopy(layer)
    linear.load_state_dict(changed)
    torch.testing.assert_close(doubled, linear(x[0]))

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, x).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i in range(3):
        alone = torch.func.grad(loss)(parameters, x[i])
        for name in parameters:
            torch.testing.assert_close(per_sample[name][i], alone[name])


@every_class
def test_compiles_as_one_graph(cls, options, shape):
    layer = make(cls, options)
    compiled: Any = torch.compile(copy.deepcopy(layer), fullgraph=True, backend="aot_eager")
    x = draw(*shape)
    torch.testing.assert_close(compiled(x), layer(x))
    compiled(x).square().sum().backward()
    layer(x).square().sum().backward()
    for ours, theirs in zip(layer.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch 2.11's own
@pytest.mark.skipif(
    shutil.which("g++") is None or not Path(sysconfig.get_path("include"), "Python.h").exists(),
    reason="torch's inductor needs g++ and Python's headers",
)
def test_compiles_with_inductor():
    model = nn.Sequential(
        make(WeightNormConv2d, {"kernel_size": 3}),
        nn.Flatten(),
        WeightNormLinear(6, 3, dtype=torch.float64),
    )
    x = draw(2, 4, 3, 3)
    compiled: Any = torch.compile(copy.deepcopy(model), fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    compiled(x).square().sum().backward()
    model(x).square().sum().backward()
    for ours, theirs in zip(model.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@every_class
def test_exports(cls, options, shape):
    layer = make(cls, options)
    program = torch.export.export(layer, (draw(*shape),))
    assert set(program.state_dict) == set(layer.state_dict())
    x = draw(*shape, seed=7)
    torch.testing.assert_close(program.module()(x), layer(x))


@pytest.mark.parametrize("cls", [WeightNormConv2d, WeightNormConvTranspose2d])
@pytest.mark.parametrize("groups", [1, 2])
def test_channels_last_is_kept(cls, groups):
    layer = make(cls, {"kernel_size": 3, "groups": groups}).to(memory_format=torch.channels_last)
    assert layer.weight.stride() == layer.v.stride()
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert not layer.weight.is_contiguous()
    layer.reset_parameters()
    layer(draw(2, 4, 5, 5)).sum().backward()
    assert layer.v.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_weight_norm_is_not_stacked_silently():
    layer = WeightNormLinear(4, 6)
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrizations.weight_norm(layer)


def test_a_subclass_may_have_its_own_constructor_and_reset():
    class Doubled(WeightNormLinear):
        def __init__(self, size: int) -> None:
            super().__init__(size, 2 * size, bias=False)

        def reset_parameters(self) -> None:
            super().reset_parameters()
            self.resets = getattr(self, "resets", 0) + 1

    layer = Doubled(3)
    assert isinstance(layer, WeightNormLayer)
    assert layer(torch.ones(3)).shape == (6,)
    assert layer.v.shape == (6, 3)
    layer.reset_parameters()
    assert layer.resets == 2


class Exp(nn.Module):
    """g = e^s (paper, sec. 2)."""

    def forward(self, s: Tensor) -> Tensor:
        return s.exp()

    def right_inverse(self, g: Tensor) -> Tensor:
        return g.log()


class Negative(nn.Module):
    def forward(self, t: Tensor) -> Tensor:
        return -t

    right_inverse = forward


@every_class
def test_a_parametrized_v_g_and_bias_are_set_through_the_parametrization(cls, options, shape):
    layer, torchs = make(cls, options), cls.plain(4, 6, **options, dtype=torch.float64)
    nn.init.ones_(layer.g)
    parametrize.register_parametrization(layer, "g", Exp())
    parametrize.register_parametrization(layer, "v", Negative())
    if layer.bias is not None:
        parametrize.register_parametrization(layer, "bias", Negative())
    w = draw(*layer.v.shape, seed=5)
    layer.weight = w
    torch.testing.assert_close(layer.weight, w)
    nn.init.zeros_(layer.parametrizations.v.original)
    assert torch.equal(w, draw(*w.shape, seed=5))
    for module in (layer, torchs):
        torch.manual_seed(3)
        module.reset_parameters()
    x = draw(*shape)
    torch.testing.assert_close(layer(x), torchs(x))
    mean, std = draw(6, seed=8), draw(6, seed=9).abs() + 0.5
    if layer.bias is None:
        mean.zero_()
    layer.scale_output_(mean, std)
    after = (torchs(x).movedim(cls.output_axis, -1) - mean) / std
    torch.testing.assert_close(layer(x).movedim(cls.output_axis, -1), after)


def test_a_parametrization_without_an_inverse_is_torchs_error():
    layer = WeightNormLinear(4, 3)
    parametrize.register_parametrization(layer, "v", nn.Identity())
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        layer.weight = torch.randn(3, 4)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())


def test_assigning_a_weight_that_would_get_no_gradient_is_refused():
    layer, x = WeightNormLinear(4, 3), torch.randn(2, 4)
    before = copy.deepcopy(layer.state_dict())
    for w in (torch.randn(3, 4, requires_grad=True), 2 * layer.weight):
        with pytest.raises(ValueError, match=r"without a gradient: assign weight\.detach\(\)"):
            torch.func.functional_call(layer, {"weight": w}, x)
        with pytest.raises(ValueError, match="without a gradient"):
            layer.weight = w
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())


@every_class
def test_within_torchs_cached_the_weight_is_computed_once(cls, options, shape, computed):
    layer = make(cls, options)
    first, second = draw(*shape), draw(*shape, seed=1)

    def gradients() -> tuple[Tensor, ...]:
        total = layer(first).square().sum() + layer(second).sin().sum()
        return torch.autograd.grad(total, list(layer.parameters()))

    expected = gradients()
    assert len(computed) == 2
    with parametrize.cached():
        torch.testing.assert_close(gradients(), expected)
        assert len(computed) == 3
        with parametrize.cached():
            pass
        assert layer.weight is layer.weight
        assert len(computed) == 3
    assert not parametrize._cache
    assert layer.weight is not layer.weight


def test_a_cached_weight_of_a_graph_serves_without_gradients_and_not_the_reverse(computed):
    layer = make(WeightNormLinear, {})
    x = draw(2, 4)
    with parametrize.cached():
        with torch.no_grad():
            assert not layer(x).requires_grad
        output = layer(x)
        assert len(computed) == 2
        with torch.no_grad():
            assert torch.equal(layer(x), output)
            assert not layer(x).requires_grad
        assert len(computed) == 2
        output.sum().backward()
    assert layer.v.grad.any()
    layer.requires_grad_(False)
    with parametrize.cached():
        with torch.no_grad():
            layer(x)
        layer(x)
    assert len(computed) == 3


def test_what_is_cached_is_never_out_of_date(computed):
    layer = make(WeightNormLinear, {})
    other = copy.deepcopy(layer)
    x = draw(2, 4)
    with parametrize.cached():
        with torch.no_grad():
            layer(x)
        assert layer(x).requires_grad
        with torch.inference_mode():
            layer(x)
        layer(x).sum().backward()
        nn.init.constant_(layer.g, 2)  # as an optimiser's step does
        torch.testing.assert_close(layer.weight.norm(dim=1), layer.g)
        layer.weight = w = draw(6, 4, seed=5)
        assert torch.equal(layer.weight, w)
        layer.weight.mul_(2)  # by a subclass
        assert torch.equal(layer.weight, w)
        zeros = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
        assert not torch.func.functional_call(layer, zeros, (x,)).any()
        assert torch.equal(layer.weight, w)
        assert not torch.equal(other.weight, w)
        per_sample = torch.func.vmap(
            torch.func.grad(lambda v, x: other_loss(layer, v, x)), (None, 0)
        )
        assert per_sample(layer.v.detach(), x).shape == (2, 6, 4)
        torch.compiler.reset()  # of what other tests have compiled
        compiled: Any = torch.compile(layer, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), layer(x))
        parametrize.register_parametrization(layer, "g", Exp())
        assert layer.weight is layer.weight
        torch.testing.assert_close(layer.weight, w)


def other_loss(layer: nn.Module, v: Tensor, x: Tensor) -> Tensor:
    return torch.func.functional_call(layer, {"v": v}, (x,)).square().sum()
