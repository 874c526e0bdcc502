"""The VAE on CIFAR-10 (paper, sec. 5.2): bidirectional residual layers, each with latent maps.

Source: openai/iaf (the TensorFlow code of Kingma et al., 2016), and its appendix.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import NormalizedLayer
from wnrepro.tasks.gaussian import log_density, precise
from wnrepro.tasks.generative import Terms
from wnrepro.tasks.vae.flow import SMALL, ConvolutionalStep
from wnrepro.tasks.vae.likelihood import discretised_logistic


class Up(NamedTuple):
    """What the way up leaves for the way down: of the posterior, and of the flow."""

    mean: Tensor
    log_std: Tensor
    context: Tensor


class Layer(nn.Module):
    """One stochastic layer: half of it on the way up to the top, half on the way down.

    Up:    [μ_q, log σ_q, c_q, h] from ELU(x);          x ← x + 0.1·conv(ELU(h))
    Down:  [μ_p, log σ_p, μ_r, log σ_r, c_r, h] from ELU(x)
           z_0 ~ N(μ_q + μ_r, e^{2(log σ_q + log σ_r)}),    z = AR(z_0, c_q + c_r)
           x ← x + 0.1·conv(ELU([z, h])),    prior N(μ_p, σ_p²)

    halves: whether the maps are half as high and wide above it. Its skip is then a resized x.
    highest: nothing goes further up.
    """

    def __init__(
        self,
        arm: str,
        width: int,
        latent: int,
        *,
        halves: bool,
        highest: bool,
        init: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.width, self.latent, self.halves = width, latent, halves

        def convolution(inputs: int, outputs: int, stride: int = 1) -> NormalizedLayer:
            linear = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
            return NormalizedLayer(arm, linear, generator=init)

        self.up_first = convolution(width, 2 * latent + 2 * width, 2 if halves else 1)
        self.up_second = None if highest else convolution(width, width)
        self.down_first = convolution(width, 4 * latent + 2 * width)
        if halves:
            grow = nn.ConvTranspose2d(width + latent, width, 3, 2, padding=1, output_padding=1)
            self.down_second = NormalizedLayer(arm, grow, generator=init)
        else:
            self.down_second = convolution(width + latent, width)
        self.flow = ConvolutionalStep(arm, latent, width, init)

    def up(self, x: Tensor) -> tuple[Tensor, Up]:
        sizes = self.latent, self.latent, self.width, self.width
        mean, log_std, context, h = self.up_first(F.elu(x)).split(sizes, 1)
        if self.up_second is not None:
            skip = F.interpolate(x, scale_factor=0.5, mode="nearest") if self.halves else x
            x = skip + SMALL * self.up_second(F.elu(h))
        return x, Up(mean, log_std, context)

    def down(self, x: Tensor, of_up: Up, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The next x, and log q(z|x) − log p(z) of each element of z."""
        (p_mean, p_log_std, mean, log_std), context, h = self._split(x)
        mean, log_std = mean + precise(of_up.mean), log_std + precise(of_up.log_std)
        z, log_det = self.flow(mean + log_std.exp() * eps, context + of_up.context)
        log_q = log_density(eps) - log_std - log_det
        return self._onwards(x, z, h), log_q - log_density(z, p_mean, p_log_std)

    def sampled(self, x: Tensor, eps: Tensor) -> Tensor:
        """The next x, with z from the prior."""
        (mean, log_std, *_), _, h = self._split(x)
        return self._onwards(x, mean + log_std.exp() * eps, h)

    def _split(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        *gaussians, context, h = self.down_first(F.elu(x)).split(
            (*(self.latent,) * 4, self.width, self.width), 1
        )
        return tuple(map(precise, gaussians)), context, h

    def _onwards(self, x: Tensor, z: Tensor, h: Tensor) -> Tensor:
        skip = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.halves else x
        return skip + SMALL * self.down_second(F.elu(torch.cat([z, h], 1)))


class CifarVAE(nn.Module):
    """5 × 5 convolution of stride 2 → layers up → learned top → layers down → 5 × 5 transposed.

    arm: of every layer. shape: (H, W) of the images, multiples of 2^(levels). width: maps (the
    code's: 160). latent: maps of z in each layer (32). depths: layers of each level, (2, 2) for 16
    × 16 and 8 × 8. free_bits: λ, nats of each latent map's mean KL divergence that cost nothing:
    loss = reconstruction + Σ max(λ, KL). log_scale: of the discretised logistic at the start; one
    number for all pixels, learned.
    """

    def __init__(
        self,
        arm: str,
        shape: tuple[int, int],
        *,
        width: int,
        latent: int,
        depths: tuple[int, ...],
        free_bits: float,
        log_scale: float,
        generator: torch.Generator,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.latent, self.free_bits = generator, latent, free_bits
        first = nn.Conv2d(3, width, 5, stride=2, padding=2)
        last = nn.ConvTranspose2d(width, 3, 5, stride=2, padding=2, output_padding=1)
        self.first = NormalizedLayer(arm, first, generator=init)
        halves = [level > 0 and k == 0 for level, n in enumerate(depths) for k in range(n)]
        self.layers = nn.ModuleList(
            Layer(arm, width, latent, halves=h, highest=k == len(halves), init=init)
            for k, h in enumerate(halves, 1)
        )
        self.last = NormalizedLayer(arm, last, generator=init)
        self.top = nn.Parameter(torch.zeros(width))
        self.log_scale = nn.Parameter(torch.tensor(float(log_scale)))
        smallest = 2 ** len(depths)
        self.top_shape = (shape[0] // smallest, shape[1] // smallest)

    def forward(self, images: Tensor) -> Terms:
        """images: (B, 3, H, W), pixels/255."""
        x, kl, paid = self._down(images)
        log_p = discretised_logistic(images, self._mean(x), self.log_scale)
        reconstruction = -log_p.flatten(1).sum(1)
        return Terms(reconstruction.mean() + paid, reconstruction, kl)

    def _down(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x after the way up and down, the KL divergence (B,), and what the loss takes for it."""
        x, ups = self.first(images - 0.5), []
        layers = cast(Sequence[Layer], self.layers)
        for layer in layers:
            x, of_up = layer.up(x)
            ups.append(of_up)
        x, kl, paid = self._top(len(images)), images.new_zeros(len(images)), images.new_zeros(())
        for layer, of_up in zip(reversed(layers), reversed(ups), strict=True):
            x, of_elements = layer.down(x, of_up, self._noise(precise(of_up.mean)))
            of_maps = of_elements.flatten(2).sum(2)
            kl = kl + of_maps.sum(1)
            paid = paid + of_maps.mean(0).clamp_min(self.free_bits).sum()
        return x, kl, paid

    def log_weight(self, images: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) of one draw of z for each image: (B,)."""
        _, reconstruction, kl = self(images)
        return -(reconstruction + kl)

    def reconstructed(self, images: Tensor) -> Tensor:
        """The means of p(x|z), as the images: (B, 3, H, W)."""
        return self._mean(self._down(images)[0])

    def samples(self) -> Tensor:
        """Five times ten means of p(x|z) with z from the prior: (5, 10, 3, H, W) in [0, 1]."""
        x = self._top(50)
        for layer in reversed(cast(Sequence[Layer], self.layers)):
            eps = x.new_empty(len(x), self.latent, *x.shape[2:])
            x = layer.sampled(x, self._noise(eps))
        return self._mean(x).unflatten(0, (5, 10))

    def _noise(self, like: Tensor) -> Tensor:
        return torch.empty_like(like).normal_(generator=self.generator)

    def _top(self, n: int) -> Tensor:
        return self.top.view(1, -1, 1, 1).expand(n, -1, *self.top_shape)

    def _mean(self, x: Tensor) -> Tensor:
        return (precise(self.last(F.elu(x))) + 0.5).clamp(0.5 / 255, 1 - 0.5 / 255)
