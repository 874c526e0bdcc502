"""The arms against the authors' procedure, in float64, to 1e-9.

The reference below is written from the facts of the paper and of the released code, with plain
tensor arithmetic and none of the package's layers: init pass, loss, gradients, six Adam steps
(three with β1 = 0.9, three with 0.5), running statistics and evaluation output.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wnrepro.arms import ARMS
from wnrepro.models import build
from wnrepro.nn import NormalizedLayer, data_dependent_init
from wnrepro.optim import Adam

CONVOLUTIONS = [(3, 1), (3, 1), (3, 1), (3, 1), (3, 1), (3, 1), (3, 0), (1, 0), (1, 0)]
POOL_AFTER = (2, 5)


class Reference:
    """The network of one arm from given v; state is lists of tensors, one per layer."""

    def __init__(self, arm: str, vs: list[Tensor]) -> None:
        self.arm = arm
        self.v = [v.clone() for v in vs]
        self.g = [torch.ones(len(v), dtype=v.dtype) for v in vs]
        self.b = [torch.zeros(len(v), dtype=v.dtype) for v in vs]
        self.mean = [torch.zeros(len(v), dtype=v.dtype) for v in vs]
        self.var = [torch.ones(len(v), dtype=v.dtype) for v in vs]
        self.started = False

    def weight(self, k: int) -> Tensor:
        v, g = self.v[k], self.g[k]
        column = (-1,) + (1,) * (v.ndim - 1)
        if self.arm == "bn" or (self.started and self.arm in ("plain", "mean_only_bn")):
            return v
        if self.arm == "plain_frozen_scale":
            return v * g.view(column)
        length = v.square().flatten(1).sum(1).sqrt()
        return v * (g / length).view(column)

    def start(self) -> None:
        """`plain` and `mean_only_bn` train w itself from here on."""
        if self.arm in ("plain", "mean_only_bn"):
            self.v = [self.weight(k) for k in range(len(self.v))]
        self.started = True

    def trained(self) -> list[Tensor]:
        scales = self.g if self.arm in ("wn", "bn", "wn_mean_only_bn") else []
        return [*self.v, *scales, *self.b]

    def forward(self, x: Tensor, mode: str) -> Tensor:
        """mode: init, train or evaluate; init and train update g, b and the running statistics."""
        for k in range(len(self.v)):
            if k < len(CONVOLUTIONS):
                t = F.conv2d(x, self.weight(k), padding=CONVOLUTIONS[k][1])
            else:
                t = x.mean((2, 3)) @ self.weight(k).T
            axes = (0, 2, 3) if t.ndim == 4 else (0,)
            column = (1, -1, 1, 1) if t.ndim == 4 else (1, -1)
            m = t.mean(axes)
            s2 = (t - m.view(column)).square().mean(axes)
            if mode == "init":
                s = s2.sqrt()
                t = (t - m.view(column)) / s.view(column)
                self.g[k] = self.g[k] / s
                if "mean_only" not in self.arm:
                    self.b[k] = -m / s
            elif self.arm == "bn":
                if mode == "train":
                    n = len(x)
                    self.mean[k] = 0.9 * self.mean[k] + 0.1 * m.detach()
                    self.var[k] = 0.9 * self.var[k] + 0.1 * n / (n - 1) * s2.detach()
                else:
                    m, s2 = self.mean[k], self.var[k]
                t = (t - m.view(column)) / (s2 + 1e-6).sqrt().view(column)
                t = t * self.g[k].view(column) + self.b[k].view(column)
            elif "mean_only" in self.arm:
                if mode == "train":
                    self.mean[k] = 0.9 * self.mean[k] + 0.1 * m.detach()
                else:
                    m = self.mean[k]
                t = t - m.view(column) + self.b[k].view(column)
            else:
                t = t + self.b[k].view(column)
            x = torch.maximum(t, 0.1 * t) if k < len(self.v) - 1 else t
            if k in POOL_AFTER:
                n, c, h, w = x.shape
                x = x[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2)
                x = x.amax((3, 5))
        return x

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        trained = self.trained()
        for p in trained:
            p.requires_grad_(True)
        logits = self.forward(x, "train")
        loss = -(logits.log_softmax(1)[torch.arange(len(y)), y]).mean()
        gradients = torch.autograd.grad(loss, trained)
        for p in trained:
            p.requires_grad_(False)
        return loss, list(gradients)


def adam_reference(params: list[Tensor], lr: float):
    m = [torch.zeros_like(p) for p in params]
    s = [torch.zeros_like(p) for p in params]
    t = 0

    def step(gradients: list[Tensor], beta1: float) -> None:
        nonlocal t
        t += 1
        for k, grad in enumerate(gradients):
            m[k] = beta1 * m[k] + (1 - beta1) * grad
            s[k] = 0.999 * s[k] + (1 - 0.999) * grad**2
            m_hat = m[k] / (1 - beta1**t)
            s_hat = s[k] / (1 - 0.999**t)
            params[k].sub_(lr * m_hat / (s_hat + 1e-8).sqrt())

    return step


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def trained_by(units: list[NormalizedLayer]) -> list[Tensor]:
    scales = [u.g for u in units if u.g is not None and u.g.requires_grad]
    return [*(u.v for u in units), *scales, *(u.b for u in units)]


@pytest.mark.parametrize("arm", [arm.id for arm in ARMS.values() if arm.source != "ours"])
def test_each_arm_follows_the_authors_procedure(arm: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, 14, 13, generator=generator, dtype=torch.float64)
    y = torch.randint(10, (20,), generator=generator)
    model = build("convpool_cnn_c", arm, (3, 14, 13), 10, width=4, noise_std=0.0, dropout=0.0)
    model = model.double()
    units = [m for m in model.modules() if isinstance(m, NormalizedLayer)]
    assert len(units) == len(CONVOLUTIONS) + 1
    vs = [0.05 * torch.randn(u.v.shape, generator=generator, dtype=torch.float64) for u in units]
    for unit, v in zip(units, vs, strict=True):
        unit.start_from_(v)
    reference = Reference(arm, vs)

    if ARMS[arm].takes_init:
        data_dependent_init(model, x)
        reference.forward(x, "init")
    reference.start()
    for k, unit in enumerate(units):
        close(unit.v.detach(), reference.v[k])
        close(unit.b.detach(), reference.b[k])
        if unit.g is not None:
            close(unit.g.detach(), reference.g[k])

    optimizer = Adam(model.parameters(), lr=0.003)
    params = reference.trained()
    step = adam_reference(params, lr=0.003)
    model.train()
    for k in range(6):
        beta1 = 0.9 if k < 3 else 0.5
        optimizer.param_groups[0]["betas"] = (beta1, 0.999)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        expected_loss, expected_gradients = reference.gradients(x, y)
        close(loss.detach(), expected_loss.detach())
        for p, gradient in zip(trained_by(units), expected_gradients, strict=True):
            assert p.grad is not None
            close(p.grad, gradient)
        optimizer.step()
        step(expected_gradients, beta1)
    for p, expected in zip(trained_by(units), params, strict=True):
        close(p.detach(), expected)
    for k, unit in enumerate(units):
        if "bn" in arm:
            close(unit.normaliser.get_buffer("running_mean"), reference.mean[k])
        if arm == "bn":
            close(unit.normaliser.get_buffer("running_var"), reference.var[k])
    model.eval()
    with torch.no_grad():
        close(model(x), reference.forward(x, "evaluate"))


def test_frozen_scale_is_not_trained() -> None:
    unit = NormalizedLayer("plain_frozen_scale", torch.nn.Linear(3, 2))
    assert {name for name, _ in unit.named_parameters()} == {"linear.weight", "normaliser.bias"}


def test_the_frozen_scales_weights_start_from_glorots_distribution() -> None:
    unit = NormalizedLayer("plain_frozen_scale", torch.nn.Conv2d(30, 50, 3))
    limit = math.sqrt(6 / ((30 + 50) * 9))
    assert unit.v.abs().max() <= limit
    assert unit.v.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
