"""p(x|z) of an image of 8-bit pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 256


def discretised_logistic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log P(x) of each pixel under a logistic distribution in 256 bins, in nats.

        P(k) = σ((k + ½ − 255 μ)/(255 s)) − σ((k − ½ − 255 μ)/(255 s))

    for the pixel value k, and with the outermost bins, 0 and 255, open to the side: the 256
    probabilities add up to 1. (openai/iaf has closed bins from k to k + 1 and adds 1e-7; that
    loses what lies outside.)

    x: k/255, in [0, 1]. mean: μ, on the same scale. log_scale: log s. Computed in x's dtype, which
    is to be float32 or wider.
    """
    half, inverse = 0.5 / (LEVELS - 1), (-log_scale).exp()
    above, below = (x - mean + half) * inverse, (x - mean - half) * inverse
    # log(σ(a) − σ(b)) = log σ(a) + log σ(−b) + log(1 − e^(b − a)), which holds far out too
    width = 2 * half * inverse
    inside = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(-width))
    log_p = torch.where(x < half, F.logsigmoid(above), inside)
    return torch.where(x > 1 - half, F.logsigmoid(-below), log_p)
