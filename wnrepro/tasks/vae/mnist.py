"""The VAE on MNIST (paper, sec. 5.2): residual encoder and decoder, flow posterior.

Source: Kingma et al. (2016), section 6.1 and appendix B. Which widths and strides figure 3 was made
with is not published (docs/differences.md).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import NormalizedLayer
from wnrepro.tasks.gaussian import log_density, precise
from wnrepro.tasks.generative import Terms
from wnrepro.tasks.vae.blocks import ResidualBlock
from wnrepro.tasks.vae.flow import DenseFlow

DENSE = 450
"""Units of the dense layer on each side, at the paper's width."""


class MnistVAE(nn.Module):
    """q(z|x): blocks of w, 2w, 2w maps, each with stride 2, then 1 → dense → μ, σ, context → flow.
    p(x|z): the mirror image, with transposed convolutions. p(z) = N(0, I); x is binary.

    arm: of every layer. shape: (H, W). width: w, the paper's is 16; the dense layers have
    450·w/16 units. latent: elements of z. depth, hidden: of the flow; depth 0: a diagonal
    posterior.
    """

    def __init__(
        self,
        arm: str,
        shape: tuple[int, int],
        *,
        width: int,
        latent: int,
        depth: int,
        hidden: int,
        generator: torch.Generator,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.latent = generator, latent
        dense = max(1, DENSE * width // 16)
        maps = [1, width, 2 * width, 2 * width]
        sides = [shape]
        for _ in range(3):
            sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
        self.smallest = (maps[-1], *sides[-1])
        flat = maps[-1] * sides[-1][0] * sides[-1][1]

        def linear(inputs: int, outputs: int) -> NormalizedLayer:
            return NormalizedLayer(arm, nn.Linear(inputs, outputs), generator=init)

        encoder: list[nn.Module] = []
        for inputs, outputs in pairwise(maps):
            encoder.append(ResidualBlock(arm, inputs, outputs, "half", init=init))
            encoder.append(ResidualBlock(arm, outputs, outputs, init=init))
        self.encoder = nn.Sequential(
            *encoder, nn.ELU(), nn.Flatten(), linear(flat, dense), nn.ELU()
        )
        self.mean, self.log_std = linear(dense, latent), linear(dense, latent)
        self.context = linear(dense, hidden)
        self.flow = DenseFlow(arm, latent, hidden, hidden, depth, init)

        decoder: list[nn.Module] = []
        for k in reversed(range(3)):
            outputs = maps[k] if k else width
            decoder.append(ResidualBlock(arm, maps[k + 1], maps[k + 1], init=init))
            grown = (sides[k][0] + 1) % 2, (sides[k][1] + 1) % 2
            decoder.append(ResidualBlock(arm, maps[k + 1], outputs, "double", grown, init))
        last = NormalizedLayer(arm, nn.Conv2d(width, 1, 3, padding=1), generator=init)
        self.decoder = nn.Sequential(
            linear(latent, dense),
            nn.ELU(),
            linear(dense, flat),
            nn.Unflatten(1, self.smallest),
            *decoder,
            nn.ELU(),
            last,
        )
        self.to(memory_format=torch.channels_last)  # an eighth less time on a CPU

    def forward(self, images: Tensor) -> Terms:
        """images: (B, 1, H, W) of zeros and ones."""
        z, kl = self.encoded(images)
        logits = precise(self.decoder(z))
        reconstruction = F.binary_cross_entropy_with_logits(logits, images, reduction="none")
        reconstruction = reconstruction.flatten(1).sum(1)
        return Terms((reconstruction + kl).mean(), reconstruction, kl)

    def encoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """z ~ q(z|x), (B, latent), and log q(z|x) − log p(z), (B,)."""
        h = self.encoder(images)
        mean, log_std = precise(self.mean(h)), precise(self.log_std(h))
        eps = torch.empty_like(mean).normal_(generator=self.generator)
        z, log_det = self.flow(mean + log_std.exp() * eps, F.elu(self.context(h)))
        log_q = (log_density(eps) - log_std).sum(1) - log_det
        return z, log_q - log_density(z).sum(1)

    def log_weight(self, images: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) of one draw of z for each image: (B,)."""
        _, reconstruction, kl = self(images)
        return -(reconstruction + kl)

    def reconstructed(self, images: Tensor) -> Tensor:
        """Probabilities, as the images: (B, 1, H, W)."""
        return torch.sigmoid(self.decoder(self.encoded(images)[0]))

    def samples(self) -> Tensor:
        """Ten times ten images from the prior, as probabilities: (10, 10, 1, H, W)."""
        z = torch.empty(100, self.latent, device=self.generator.device)
        z = z.to(next(self.parameters())).normal_(generator=self.generator)
        return torch.sigmoid(self.decoder(z)).unflatten(0, (10, 10))
