"""DRAW: a variational autoencoder that draws an image glimpse by glimpse (paper, sec. 5.3).

Source: Gregor et al., *DRAW* (2015); sizes, start and order of things are those of the code that
the paper used (github.com/jbornschein/draw).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import NormalizedLayer
from wnrepro.tasks.draw.attention import PARAMETERS, window
from wnrepro.tasks.draw.lstm import Peepholes, State
from wnrepro.tasks.gaussian import kl_to_standard
from wnrepro.tasks.generative import Terms

START_STD = 0.01
"""Standard deviation of every weight at the start."""


class Glimpse(NamedTuple):
    """After one glimpse: the two cells, the canvas (B, H, W), and the KL divergence so far (B,)."""

    encoder: State
    decoder: State
    canvas: Tensor
    kl: Tensor


class Draw(nn.Module):
    """`glimpses` times: read the image where the decoder looks, encode, draw z, decode, write.

        r_t = [read(x), read(x − σ(c_{t−1}))]       z_t ~ N(μ(h_enc), σ(h_enc)²)
        h_enc = LSTM([r_t, h_dec], h_enc)           h_dec = LSTM(z_t, h_dec)
        c_t = c_{t−1} + write(h_dec)                p(x|z) = Bernoulli(σ(c_T))

    arm: plain or wn; every linear map has it. The input's map of an LSTM has a bias, the
        recurrent one has none; they are normalised apart.
    start: of every w. normal: w ~ N(0, 0.01²), which wn takes as v = w, g = ‖w‖. unit: w = v/‖v‖
        for the same v, which wn takes as v, g = 1. Biases and peepholes: see `reset_parameters`.
    units: of each LSTM. read, write: the side of the two windows. generator: of z. init: of the
        start; None for torch's own.
    """

    def __init__(
        self,
        arm: str,
        shape: tuple[int, int],
        *,
        glimpses: int,
        units: int,
        latent: int,
        read: int,
        write: int,
        start: str,
        generator: torch.Generator,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.glimpses, self.units, self.latent = shape, glimpses, units, latent
        self.read_size, self.write_size, self.start = read, write, start
        self.generator = generator

        def linear(inputs: int, outputs: int, bias: bool = True) -> NormalizedLayer:
            return NormalizedLayer(arm, nn.Linear(inputs, outputs, bias=bias))

        self.encoder_input = linear(2 * read**2 + units, 4 * units)
        self.encoder_recurrent = linear(units, 4 * units, bias=False)
        self.encoder = Peepholes(units)
        self.mean = linear(units, latent)
        self.log_std = linear(units, latent)
        self.decoder_input = linear(latent, 4 * units)
        self.decoder_recurrent = linear(units, 4 * units, bias=False)
        self.decoder = Peepholes(units)
        self.read_window = linear(units, PARAMETERS)
        self.write_window = linear(units, PARAMETERS)
        self.write_patch = linear(units, write**2)
        self.reset_parameters(init)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight and peephole from N(0, 0.01²); biases are 0."""
        for module in self.children():
            if isinstance(module, Peepholes):
                for p in module.parameters():
                    p.normal_(std=START_STD, generator=generator)
                continue
            assert isinstance(module, NormalizedLayer)
            v = torch.empty_like(module.v).normal_(std=START_STD, generator=generator)
            module.start_from_(v, v.norm(dim=1) if self.start == "normal" else None)

    def forward(self, images: Tensor) -> Terms:
        """images: (B, 1, H, W) of zeros and ones. The terms of the bound, each image's own."""
        last = self.drawn(images, self._noise(images))[-1]
        reconstruction = F.binary_cross_entropy_with_logits(
            last.canvas, images.squeeze(1), reduction="none"
        ).sum((1, 2))
        return Terms((reconstruction + last.kl).mean(), reconstruction, last.kl)

    def drawn(self, images: Tensor, noise: Tensor) -> list[Glimpse]:
        """Each glimpse at the images, with z = μ + σ∘noise; noise: (glimpses, B, latent)."""
        maps = self._maps()
        glimpse, glimpses = self._blank(images), []
        for eps in noise:
            encoder, decoder, canvas, kl = glimpse
            place = window(maps["read_window"](decoder.h), self.read_size, *self.shape)
            error = images - torch.sigmoid(canvas).unsqueeze(1)
            seen = place.read(torch.cat([images, error], 1))
            a = maps["encoder_input"](torch.cat([seen, decoder.h], 1))
            encoder = self.encoder(a + maps["encoder_recurrent"](encoder.h), encoder)
            mean, log_std = maps["mean"](encoder.h), maps["log_std"](encoder.h)
            kl = kl + kl_to_standard(mean, log_std)
            decoder, canvas = self._decoded(maps, mean + log_std.exp() * eps, decoder, canvas)
            glimpse = Glimpse(encoder, decoder, canvas, kl)
            glimpses.append(glimpse)
        return glimpses

    def sampled(self, noise: Tensor) -> list[Tensor]:
        """Images drawn from the prior: the canvas after each glimpse, as probabilities.

        noise: (glimpses, B, latent), the z themselves. Each (B, 1, H, W).
        """
        maps = self._maps()
        _, decoder, canvas, _ = self._blank(noise[0])
        canvases = []
        for z in noise:
            decoder, canvas = self._decoded(maps, z, decoder, canvas)
            canvases.append(torch.sigmoid(canvas).unsqueeze(1))
        return canvases

    def samples(self) -> Tensor:
        """Ten images as they are drawn, at up to ten glimpses: (10, glimpses, 1, H, W)."""
        like = next(self.parameters())
        canvases = torch.stack(self.sampled(self._noise(like.new_empty(10, 0))), 1)
        last = self.glimpses - 1
        shown = sorted({round(k * last / 9) for k in range(10)})
        return canvases[:, shown]

    def reconstructed(self, images: Tensor) -> Tensor:
        """Probabilities, as the images: (B, 1, H, W)."""
        canvas = self.drawn(images, self._noise(images))[-1].canvas
        return torch.sigmoid(canvas).unsqueeze(1)

    def _noise(self, like: Tensor) -> Tensor:
        noise = like.new_empty(self.glimpses, len(like), self.latent)
        return noise.normal_(generator=self.generator)

    def _decoded(
        self, maps: dict[str, "_Map"], z: Tensor, decoder: State, canvas: Tensor
    ) -> tuple[State, Tensor]:
        a = maps["decoder_input"](z) + maps["decoder_recurrent"](decoder.h)
        decoder = self.decoder(a, decoder)
        place = window(maps["write_window"](decoder.h), self.write_size, *self.shape)
        return decoder, canvas + place.write(maps["write_patch"](decoder.h))

    def _maps(self) -> dict[str, "_Map"]:
        """The linear maps with their weights computed: once a batch, and not once a glimpse."""
        return {
            name: _Map(module.linear.weight, module.linear.bias)
            for name, module in self.named_children()
            if isinstance(module, NormalizedLayer)
        }

    def _blank(self, like: Tensor) -> Glimpse:
        n = len(like)
        state = State(like.new_zeros(n, self.units), like.new_zeros(n, self.units))
        return Glimpse(state, state, like.new_zeros(n, *self.shape), like.new_zeros(n))


class _Map(NamedTuple):
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)
