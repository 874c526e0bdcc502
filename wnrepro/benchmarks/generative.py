"""DRAW and the VAEs: a step with weight norm beside a plain one, and DRAW beside torch's own parts.

One thread: two processes of one thread do more than one of two.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from wnrepro import assembly
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import LEARNING_RATE, step_of
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import Series, compare, threads
from wnrepro.config import AdamConfig, Config, DataConfig, ModelConfig, NormConfig, ScheduleConfig
from wnrepro.nn import NormalizedLayer
from wnrepro.tasks import TaskConfig, part_of
from wnrepro.tasks.draw import DrawConfig
from wnrepro.tasks.draw.attention import Windows
from wnrepro.tasks.draw.network import Draw
from wnrepro.tasks.gaussian import kl_to_standard
from wnrepro.tasks.vae import VAEConfig
from wnrepro.training import SupervisedTraining

AS_PLAIN = Goal(1.05)
AS_TORCH = Goal(0.8)


def generative(setting: Setting) -> Iterator[Measurement]:
    glimpses, units = setting.pick((10, 256), (2, 8))
    draw = DrawConfig("draw", glimpses=glimpses, latent=setting.pick(100, 3))
    latent = setting.pick(32, 3)
    mnist = VAEConfig("vae", latent=latent, flow_width=setting.pick(320, 8))
    cifar = VAEConfig("vae", latent=latent, binarised="no", depths=setting.pick([2, 2], [1]))
    tasks = {
        f"DRAW of {units} units, {glimpses} glimpses": _Sizes(draw, "draw", "mnist", units, 100),
        "VAE on MNIST": _Sizes(mnist, "vae_mnist", "mnist", setting.pick(16, 2), 100),
        "VAE on CIFAR-10, 32 maps": _Sizes(cifar, "vae_cifar", "cifar10", setting.pick(32, 4), 16),
    }
    with threads(None if setting.gpu else 1):
        for name, sizes in tasks.items():
            wn, plain = (_training(setting, arm, sizes) for arm in ("wn", "plain"))
            _check_same_terms(wn, plain)
            ours, usual = compare(setting, step_of(wn), step_of(plain), repeats=15)
            yield Measurement(
                *(f"step of {name}: wn beside plain", "ms"), _ms(ours), _ms(usual), AS_PLAIN
            )
        yield _beside_torch(setting, draw, units)


class _Sizes(NamedTuple):
    task: TaskConfig
    model: str
    data: str
    width: int
    batch_size: int


def _ms(seconds: Series) -> list[float]:
    return [1e3 * each for each in seconds]


def _training(setting: Setting, arm: str, sizes: _Sizes) -> SupervisedTraining:
    config = Config(
        task=sizes.task,
        data=DataConfig(sizes.data, False),
        model=ModelConfig(sizes.model, sizes.width),
        norm=NormConfig(arm),
        optim=AdamConfig("adam", LEARNING_RATE, 0.9, 0.9, 0.999, eps=1e-8),
        schedule=ScheduleConfig("constant"),
        epochs=1,
        batch_size=setting.pick(sizes.batch_size, 4),
        seed=0,
        threads=1,
    )
    assembly.prepare(config)
    made_up = part_of(sizes.task.name, "assembly").made_up
    return made_up(config, setting.device, config.batch_size)


@torch.no_grad()
def _check_same_terms(one: SupervisedTraining, other: SupervisedTraining) -> None:
    """Both arms start as one function."""
    for training in (one, other):
        training.streams.start_epoch(0)
    chosen = torch.arange(one.batch_size, device=one.device)
    terms = [each.model(*each.objective.batch(chosen)) for each in (one, other)]
    assert_close(terms[0].loss, terms[1].loss, rtol=1e-4, atol=1e-4)


class TorchDraw(nn.Module):
    """The same network of `nn.LSTMCell` and torch's weight norm, whose weights are computed at
    each glimpse. It has no peepholes: ours are 0 where the two are compared.
    """

    def __init__(self, ours: Draw) -> None:
        super().__init__()
        self.generator = ours.generator
        encoder = self._cell(ours.encoder_input, ours.encoder_recurrent)
        decoder = self._cell(ours.decoder_input, ours.decoder_recurrent)
        self.cells = nn.ModuleList([encoder, decoder])
        names = ("mean", "log_std", "read_window", "write_window", "write_patch")
        self.maps = nn.ModuleDict({name: _weight_normed(getattr(ours, name)) for name in names})
        self.shape, self.sizes = ours.shape, (ours.glimpses, ours.units, ours.latent)
        sides = ours.read_size, ours.write_size
        self.windows = nn.ModuleList(Windows([side], *ours.shape) for side in sides)

    @staticmethod
    def _cell(inputs: NormalizedLayer, recurrent: NormalizedLayer) -> nn.LSTMCell:
        into, back = inputs.linear, recurrent.linear
        assert isinstance(into.weight, Tensor)
        cell = nn.LSTMCell(into.weight.shape[1], into.weight.shape[0] // 4).to(into.weight)
        with torch.no_grad():
            for parameter, value in (
                (cell.weight_ih, into.weight),
                (cell.weight_hh, back.weight),
                (cell.bias_ih, into.bias),
                (cell.bias_hh, torch.zeros_like(cell.bias_hh)),
            ):
                assert isinstance(value, Tensor)
                parameter.copy_(value)
        for name in ("weight_ih", "weight_hh"):
            parametrizations.weight_norm(cell, name)
        return cell

    def forward(self, images: Tensor) -> Tensor:
        glimpses, units, latent = self.sizes
        images = images.squeeze(1)
        n, (encoder, decoder) = len(images), self.cells
        h = c = h_dec = c_dec = images.new_zeros(n, units)
        canvas, kl = images.new_zeros(n, *self.shape), images.new_zeros(n)
        noise = images.new_empty(glimpses, n, latent).normal_(generator=self.generator)
        for eps in noise:
            (place,) = self.windows[0](self.maps["read_window"](h_dec).unsqueeze(1))
            seen = place.read(images, images - torch.sigmoid(canvas))
            h, c = encoder(torch.cat([seen, h_dec], 1), (h, c))
            mean, log_std = self.maps["mean"](h), self.maps["log_std"](h)
            kl = kl + kl_to_standard(mean, log_std)
            h_dec, c_dec = decoder(mean + log_std.exp() * eps, (h_dec, c_dec))
            (place,) = self.windows[1](self.maps["write_window"](h_dec).unsqueeze(1))
            canvas = place.write(self.maps["write_patch"](h_dec), canvas)
        cross = F.binary_cross_entropy_with_logits(canvas, images, reduction="none")
        return (cross.sum((1, 2)) + kl).mean()


def _weight_normed(layer: NormalizedLayer) -> nn.Module:
    ours = layer.linear
    assert isinstance(ours.weight, Tensor)
    linear = nn.Linear(ours.weight.shape[1], ours.weight.shape[0]).to(ours.weight)
    with torch.no_grad():
        linear.weight.copy_(ours.weight)
        linear.bias.copy_(layer.b)
    return parametrizations.weight_norm(linear)


def _beside_torch(setting: Setting, task: DrawConfig, units: int) -> Measurement:
    """Forward and backward pass."""
    training = _training(setting, "wn", _Sizes(task, "draw", "mnist", units, 100))
    draw = training.model
    assert isinstance(draw, Draw)
    without = copy.deepcopy(draw.state_dict())
    for name in without:
        if ".p_" in name:
            without[name].zero_()
    kept = draw.state_dict()
    draw.load_state_dict(without)
    usual = TorchDraw(draw).to(setting.device)
    (images,) = training.objective.batch(torch.arange(training.batch_size, device=setting.device))
    losses = []
    for each in (lambda: draw(images).loss, lambda: usual(images)):
        draw.generator.manual_seed(0)
        losses.append(each().detach())
    assert_close(*losses, rtol=1e-4, atol=1e-4)
    draw.load_state_dict(kept)
    ours_sec, usual_sec = compare(
        setting,
        lambda: draw(images).loss.backward(),
        lambda: usual(images).backward(),
        repeats=15,
    )
    return Measurement(
        "DRAW, forward and backward: wn beside torch's LSTMCell and weight norm",
        "ms",
        _ms(ours_sec),
        _ms(usual_sec),
        AS_TORCH,
    )
