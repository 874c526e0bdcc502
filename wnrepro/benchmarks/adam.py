"""The paper's Adam against torch's fused Adam: one update of all parameters of a network.

float32; the gradients are those of a backward pass, in the memory formats that it leaves; the
learning rate is so small that the parameters stay where they are.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.testing import assert_close

from wnrepro import equations
from wnrepro.benchmarks.measurement import Goal, Measurement
from wnrepro.benchmarks.networks import cifar, mnist
from wnrepro.benchmarks.setting import Setting
from wnrepro.benchmarks.timing import compare, threads
from wnrepro.optim import Adam

GOAL = Goal(1.1)
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def adam(setting: Setting) -> Iterator[Measurement]:
    for network in (cifar(setting, 96), mnist(setting)):
        with threads(None if setting.gpu else network.threads):
            training = network.on_one_batch(setting)
            batch = training.objective.batch(torch.arange(2, device=setting.device))
            training.objective.loss(training.model, batch)[0].backward()
            _check(training.model)
            given = (1e-9, (BETA1, BETA2), EPS)
            ours = Adam(_parameters(training.model), *given)
            usual = torch.optim.Adam(_parameters(training.model), *given, fused=True)
            times = 1e6 * compare(setting, ours.step, usual.step, repeats=15)
        yield Measurement(f"Adam on the parameters of the {network.name}", "µs", *times, goal=GOAL)


def _parameters(network: nn.Module) -> list[nn.Parameter]:
    """Copies of its parameters and their gradients."""
    parameters = []
    for each in network.parameters():
        assert each.grad is not None
        copy = nn.Parameter(each.detach().clone())
        copy.grad = each.grad.clone()
        parameters.append(copy)
    return parameters


def _check(network: nn.Module) -> None:
    """Three steps against the equation in float64."""
    lr = 0.01
    before, after = _parameters(network), _parameters(network)
    optimizer = Adam(after, lr, (BETA1, BETA2), EPS)
    for _ in range(3):
        optimizer.step()
    for start, end in zip(before, after, strict=True):
        assert start.grad is not None
        w, gradient = start.detach().double(), start.grad.double()
        m, s = torch.zeros_like(w), torch.zeros_like(w)
        for t in range(1, 4):
            w, m, s = equations.adam(w, gradient, m, s, t, lr=lr, beta1=BETA1, beta2=BETA2, eps=EPS)
        assert_close(end.detach().double(), w, rtol=1e-5, atol=1e-5)
