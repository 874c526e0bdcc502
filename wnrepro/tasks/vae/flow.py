"""The inverse autoregressive flow of the VAEs' posterior.

    z_0 = μ + σ_0∘ε,   z_t = σ_t∘z_{t−1} + (1 − σ_t)∘m_t     with [m_t, s_t] = AR_t(z_{t−1}, c)
    log q(z_T|x) = log q(z_0|x) − Σ_t Σ_i log σ_{t,i},        σ_t = sigmoid(s_t)

AR_t is autoregressive: its output i sees the elements of z before i only, so that the Jacobian of a
step is triangular with σ on its diagonal. Source: Kingma et al. (2016), algorithm 1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.nn import MaskedConv2d, MaskedLinear, NormalizedLayer
from wnrepro.tasks.gaussian import precise

SMALL = 0.1
"""Factor of the autoregressive outputs, as of residual branches (their code)."""

OPEN_GATE = 1.5
"""Of s at the start: σ = 0.82, so that a step begins close to the identity (their section 3)."""


def degree_masks(n: int, hidden: int) -> tuple[Tensor, Tensor]:
    """The masks of a network n → hidden → n of which output i sees the inputs before i only.

    Hidden units have degrees 0 … n − 1, evenly. One of degree d sees the first d inputs; output i,
    counted from 0, sees those of degree at most i. Degree 0 sees the context alone.
    Source: Germain et al., *MADE* (2015), eq. 8 and 9. (hidden, n) and (n, hidden), bool.
    """
    degrees = torch.arange(hidden) * n // hidden
    inputs = torch.arange(n)
    return degrees[:, None] > inputs, degrees <= inputs[:, None]


def raster_mask(outputs: int, inputs: int, size: int, *, includes_itself: bool) -> Tensor:
    """The mask of a size × size convolution that is autoregressive over (raster, channel).

    Places above and to the left are seen with all their channels; of the same place the channels
    before one's own, and one's own if `includes_itself`. Where the counts differ, they are split
    evenly: channel c of `outputs` stands at c/outputs. (outputs, inputs, size, size), bool.
    """
    mask = torch.zeros(outputs, inputs, size, size, dtype=torch.bool)
    middle = size // 2
    mask[:, :, :middle] = True
    mask[:, :, middle, :middle] = True
    # one's own: at the coarser of the two resolutions
    groups = min(outputs, inputs)
    own = torch.arange(outputs)[:, None] * groups // outputs
    other = torch.arange(inputs) * groups // inputs
    mask[:, :, middle, middle] = other <= own if includes_itself else other < own
    return mask


class DenseStep(nn.Module):
    """AR_t of a vector: two masked layers of `hidden` units, the context added to the first's.

    arm: of its layers. n: elements of z. context: width of c.
    """

    def __init__(
        self, arm: str, n: int, hidden: int, context: int, init: torch.Generator | None = None
    ) -> None:
        super().__init__()
        to_hidden, to_output = degree_masks(n, hidden)
        self.first = NormalizedLayer(arm, MaskedLinear(to_hidden), generator=init)
        self.context = NormalizedLayer(arm, nn.Linear(context, hidden), generator=init)
        self.mean = NormalizedLayer(arm, MaskedLinear(to_output), generator=init)
        self.gate = NormalizedLayer(arm, MaskedLinear(to_output), generator=init)

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """z: (B, n), c: (B, context). The next z, and log |det ∂z_t/∂z_{t−1}|: (B,)."""
        h = F.elu(self.first(z) + self.context(c))
        m, s = precise(self.mean(h)), precise(self.gate(h))
        return gated(z, SMALL * m, SMALL * s + OPEN_GATE)


def gated(z: Tensor, m: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """σ∘z + (1 − σ)∘m with σ = sigmoid(s), and Σ log σ of each example."""
    gate = torch.sigmoid(s)
    return gate * z + (1 - gate) * m, F.logsigmoid(s).flatten(1).sum(1)


class DenseFlow(nn.Module):
    """`depth` steps; between two, the order of the elements is reversed."""

    def __init__(
        self,
        arm: str,
        n: int,
        hidden: int,
        context: int,
        depth: int,
        init: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(DenseStep(arm, n, hidden, context, init) for _ in range(depth))

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """z_0: (B, n), c: (B, context). z_T, and the sum of the steps' log |det|: (B,)."""
        log_det = z.new_zeros(len(z))
        for t, step in enumerate(self.steps):
            z, of_step = step(z.flip(1) if t else z, c)
            log_det = log_det + of_step
        return z, log_det


class ConvolutionalStep(nn.Module):
    """AR of maps, in raster order, then by channel: z ← (z − m)/e^s.

    Two masked 3 × 3 convolutions of `hidden` maps, the context, of as many maps, added to the
    first's output; the outputs m and s are 3 × 3 convolutions too. Source: openai/iaf.
    """

    def __init__(self, arm: str, n: int, hidden: int, init: torch.Generator | None = None) -> None:
        super().__init__()

        def masked(outputs: int, inputs: int, includes_itself: bool) -> NormalizedLayer:
            mask = raster_mask(outputs, inputs, 3, includes_itself=includes_itself)
            return NormalizedLayer(arm, MaskedConv2d(mask, padding=1), generator=init)

        self.first = masked(hidden, n, True)
        self.second = masked(hidden, hidden, True)
        self.mean, self.log_scale = masked(n, hidden, False), masked(n, hidden, False)

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """z: (B, n, H, W), c: (B, hidden, H, W). The next z, and log |det ∂z'/∂z| by element."""
        h = F.elu(self.second(F.elu(self.first(z) + c)))
        m, log_scale = SMALL * precise(self.mean(h)), SMALL * precise(self.log_scale(h))
        return (z - m) * (-log_scale).exp(), -log_scale
