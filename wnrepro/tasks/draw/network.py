"""DRAW: a variational autoencoder that draws an image glimpse by glimpse (paper, sec. 5.3).

Source: Gregor et al., *DRAW* (2015); sizes, start and order of things are those of the code that
the paper used (github.com/jbornschein/draw).
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import NormalizedLayer
from wnrepro.tasks.draw.attention import PARAMETERS, Window, Windows
from wnrepro.tasks.draw.lstm import Peepholes, State
from wnrepro.tasks.gaussian import kl_to_standard, log_density
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
        self.windows = Windows((read, write), *shape)
        self.reset_parameters(init)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight and peephole from N(0, 0.01²); biases are 0."""
        for module in self.children():
            if isinstance(module, NormalizedLayer):
                v = torch.empty_like(module.v).normal_(std=START_STD, generator=generator)
                module.start_from_(v, v.norm(dim=1) if self.start == "normal" else None)
            else:
                for p in module.parameters():
                    p.normal_(std=START_STD, generator=generator)

    def forward(self, images: Tensor) -> Terms:
        """images: (B, 1, H, W) of zeros and ones. The terms of the bound, each image's own."""
        last = self.drawn(images, self._noise(images))[-1]
        reconstruction = _cross_entropy(last.canvas, images)
        return Terms((reconstruction + last.kl).mean(), reconstruction, last.kl)

    def log_weight(self, images: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) of one draw of all z for each image: (B,)."""
        noise = self._noise(images)
        glimpses = self.drawn(images, noise)
        h = torch.stack([each.encoder.h for each in glimpses])
        mean, log_std = self._maps().posterior(h).chunk(2, 2)
        log_q, z = log_density(noise) - log_std, mean + log_std.exp() * noise
        of_z = (log_density(z) - log_q).sum((0, 2))
        return of_z - _cross_entropy(glimpses[-1].canvas, images)

    def drawn(self, images: Tensor, noise: Tensor) -> list[Glimpse]:
        """Each glimpse at the images, with z = μ + σ∘noise; noise: (glimpses, B, latent)."""
        maps, images = self._maps(), images.squeeze(1)
        encoder, decoder, canvas = self._blank(images)
        look = self._look(maps, decoder)
        places, states = [], []
        for eps in noise:
            seen = look.reading.read(images, images - torch.sigmoid(canvas))
            a = maps.encoder(torch.cat([seen, decoder.h, encoder.h], 1))
            encoder = self.encoder(a, encoder)
            place = maps.posterior(encoder.h)
            mean, log_std = place.chunk(2, 1)
            z = mean + log_std.exp() * eps
            decoder, look, canvas = self._decoded(maps, z, decoder, canvas)
            places.append(place)
            states.append((encoder, decoder, canvas))
        kl = kl_to_standard(*torch.stack(places).chunk(2, 2)).cumsum(0)
        return [Glimpse(e, d, c, so_far) for (e, d, c), so_far in zip(states, kl, strict=True)]

    def sampled(self, noise: Tensor) -> list[Tensor]:
        """Images drawn from the prior: the canvas after each glimpse, as probabilities.

        noise: (glimpses, B, latent), the z themselves. Each (B, 1, H, W).
        """
        maps = self._maps()
        _, decoder, canvas = self._blank(noise[0])
        canvases = []
        for z in noise:
            decoder, _, canvas = self._decoded(maps, z, decoder, canvas)
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
        self, maps: "_Maps", z: Tensor, decoder: State, canvas: Tensor
    ) -> tuple[State, "_Look", Tensor]:
        """The next decoder and canvas, and where the decoder looks then."""
        decoder = self.decoder(maps.decoder(torch.cat([z, decoder.h], 1)), decoder)
        look = self._look(maps, decoder)
        return decoder, look, look.writing.write(look.patch, canvas)

    def _look(self, maps: "_Maps", decoder: State) -> "_Look":
        places, patch = maps.look(decoder.h).split((2 * PARAMETERS, self.write_size**2), 1)
        reading, writing = self.windows(places.unflatten(1, (2, PARAMETERS)))
        return _Look(reading, writing, patch)

    def _maps(self) -> "_Maps":
        """Each weight is computed once a batch and not once a glimpse; maps of one input are one
        product, and so are those that are added up.
        """

        def joined(axis: int, *layers: NormalizedLayer) -> _Map:
            weights = [layer.linear.weight for layer in layers]
            biases = [layer.linear.bias for layer in layers if layer.linear.bias is not None]
            return _Map(torch.cat(cast(list[Tensor], weights), axis), torch.cat(biases))

        return _Maps(
            joined(1, self.encoder_input, self.encoder_recurrent),
            joined(0, self.mean, self.log_std),
            joined(1, self.decoder_input, self.decoder_recurrent),
            joined(0, self.read_window, self.write_window, self.write_patch),
        )

    def _blank(self, like: Tensor) -> tuple[State, State, Tensor]:
        """Encoder, decoder and canvas before the first glimpse."""
        n = len(like)
        state = State(like.new_zeros(n, self.units), like.new_zeros(n, self.units))
        return state, state, like.new_zeros(n, *self.shape)


def _cross_entropy(canvas: Tensor, images: Tensor) -> Tensor:
    """−log p(x|z) of each image: (B,)."""
    each = F.binary_cross_entropy_with_logits(canvas, images.squeeze(1), reduction="none")
    return each.sum((1, 2))


class _Look(NamedTuple):
    """What the decoder says of the next glimpse's reading and of this one's writing."""

    reading: Window
    writing: Window
    patch: Tensor


class _Map(NamedTuple):
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class _Maps(NamedTuple):
    encoder: _Map
    posterior: _Map
    decoder: _Map
    look: _Map
