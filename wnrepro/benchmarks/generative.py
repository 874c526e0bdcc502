"""DRAW and the VAEs: a step with weight norm beside a plain one, and DRAW beside torch's own parts.

One thread: two processes of one thread do more than one of two.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import Sizes, of_task, step_of
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import compare, threads
from wnrepro.benchmarks.usual import weight_normed
from wnrepro.nn import NormalizedLayer
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
        f"DRAW of {units} units, {glimpses} glimpses": Sizes(draw, "draw", "mnist", units, 100),
        "VAE on MNIST": Sizes(mnist, "vae_mnist", "mnist", setting.pick(16, 2), 100),
        "VAE on CIFAR-10, 32 maps": Sizes(cifar, "vae_cifar", "cifar10", setting.pick(32, 4), 16),
    }
    with threads(None if setting.gpu else 1):
        for name, sizes in tasks.items():
            wn, plain = (of_task(setting, arm, sizes) for arm in ("wn", "plain"))
            _check_same_terms(wn, plain)
            ours, usual = compare(setting, step_of(wn), step_of(plain), repeats=15)
            yield Measurement(
                *(f"step of {name}: wn beside plain", "ms"), 1e3 * ours, 1e3 * usual, AS_PLAIN
            )
        yield _beside_torch(setting, draw, units)


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
        self.maps = nn.ModuleDict({name: weight_normed(getattr(ours, name)) for name in names})
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


def _beside_torch(setting: Setting, task: DrawConfig, units: int) -> Measurement:
    """Forward and backward pass."""
    training = of_task(setting, "wn", Sizes(task, "draw", "mnist", units, 100))
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
        1e3 * ours_sec,
        1e3 * usual_sec,
        AS_TORCH,
    )
