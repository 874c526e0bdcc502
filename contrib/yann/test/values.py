"""Values of `wnrepro.nn` in float64, with which the module in Theano is compared.

    python contrib/yann/test/values.py values.npz

For this project's environment. For each kind of layer, and for a network of all of them: what goes
in, and what comes out. All filters are torch's, which correlate; Theano's are turned round.
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from wnrepro.nn import convert, data_dependent_init
from wnrepro.nn.layers import WeightNormLayer

IMAGES, CHANNELS, SIZE, FILTERS, UNITS, CLASSES = 10, 2, 6, 3, 5, 4


def layers() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Kind of layer → the layer, the shape of its inputs."""
    return {
        "dense": (nn.Linear(7, UNITS), (IMAGES, 7)),
        "conv": (nn.Conv2d(CHANNELS, FILTERS, 3), (IMAGES, CHANNELS, SIZE, SIZE)),
        "deconv": (nn.ConvTranspose2d(FILTERS, CHANNELS, 3), (IMAGES, FILTERS, 4, 4)),
    }


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(CHANNELS, FILTERS, 3),
        nn.ReLU(),
        nn.ConvTranspose2d(FILTERS, CHANNELS, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(CHANNELS * SIZE * SIZE, UNITS),
        nn.ReLU(),
        nn.Linear(UNITS, CLASSES),
    )


def drawn(module: nn.Module) -> nn.Module:
    """With weight norm, and v, g and b drawn."""
    model = convert(module.double())
    with torch.no_grad():
        for each in model.parameters():
            each.normal_()
    return model


def parameters(model: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """v, g and b of all layers, with their gradients where they have them."""
    found = {}
    for k, layer in enumerate(m for m in model.modules() if isinstance(m, WeightNormLayer)):
        for symbol, tensor in (("v", layer.v), ("g", layer.g), ("b", layer.bias)):
            found[f"{name}/{k}/{symbol}"] = tensor.detach().clone()
            if tensor.grad is not None:
                found[f"{name}/{k}/gradient_{symbol}"] = tensor.grad.clone()
    return found


def losses_of_descent(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Before each of 30 steps of gradient descent at rate 0.1."""
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(path: str) -> None:
    torch.manual_seed(0)
    values = {}
    for name, (plain, shape) in layers().items():
        layer, x = drawn(plain), torch.randn(shape).double()
        y = layer(x)
        direction = torch.randn_like(y)
        (direction * y).sum().backward()
        values |= {f"{name}/x": x, f"{name}/direction": direction, f"{name}/y": y.detach()}
        values |= {f"{name}/w": layer.weight.detach()} | parameters(layer, name)
        data_dependent_init(layer, x)
        layer.zero_grad()
        values |= parameters(layer, f"{name}/initialized")
    model = drawn(network())
    x, labels = torch.rand(IMAGES, CHANNELS, SIZE, SIZE).double(), torch.randint(CLASSES, (IMAGES,))
    values |= {"network/x": x, "network/labels": labels} | parameters(model, "network")
    data_dependent_init(model, x)
    logits = model(x)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    values |= {"network/initialized/loss": loss.detach()}
    values |= {"network/initialized/probabilities": logits.detach().softmax(1)}
    values |= parameters(model, "network/initialized")
    values |= {
        "network/losses": torch.tensor(losses_of_descent(model, x, labels), dtype=torch.float64)
    }
    np.savez(path, **{key.replace("/", "."): tensor.numpy() for key, tensor in values.items()})


if __name__ == "__main__":
    main(sys.argv[1])
