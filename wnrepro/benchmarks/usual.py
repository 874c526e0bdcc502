"""The usual way to train the same network: what most people's PyTorch would be.

torchvision's data set with ToTensor and Normalize, a DataLoader that shuffles with as many
persistent workers as there are cores, eager float32 with torch's settings as they come (but for
cudnn.benchmark, which is on for both), torch's weight norm, `nn.Dropout`, `torch.optim.Adam`, and
loss and accuracy read after each step.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from wnrepro.benchmarks.networks import LEARNING_RATE, Network
from wnrepro.benchmarks.setting import Setting
from wnrepro.data import files
from wnrepro.nn import Dropout, GaussianNoise, NormalizedLayer, fold

_DATASETS = {"cifar10": datasets.CIFAR10, "mnist": datasets.MNIST}


class Noise(nn.Module):
    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x


def network(ours: nn.Module) -> nn.Sequential:
    """Our network of arm wn from torch's own layers, with the same weights w."""
    layers: list[nn.Module] = []
    for module in ours.children():
        match module:
            case NormalizedLayer():
                layers += [weight_normed(module), copy.deepcopy(module.nonlinearity)]
            case Dropout():
                layers.append(nn.Dropout(module.p))
            case GaussianNoise():
                layers.append(Noise(module.std))
            case _:
                layers.append(copy.deepcopy(module))
    return nn.Sequential(*layers).train()


def loader(network: Network, setting: Setting, n: int | None) -> DataLoader:
    """The first n training images (None: all), scaled as ours are: (p − 127.5)/128."""
    scale = transforms.Normalize((0.5,), (128 / 255,))
    published = _DATASETS[network.data](
        files.locate(network.data, setting.root),
        transform=transforms.Compose([transforms.ToTensor(), scale]),
    )
    return DataLoader(
        published if n is None else Subset(published, range(n)),
        batch_size=network.batch_size,
        shuffle=True,
        num_workers=setting.workers,
        persistent_workers=True,
        pin_memory=setting.gpu,
        drop_last=True,
    )


def batches(loader: DataLoader, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


class Loop:
    """Trains `model`, one pass over `loader` per call; losses and accuracies of its last pass."""

    def __init__(self, model: nn.Module, loader: DataLoader, device: torch.device) -> None:
        self.model = model
        self.loader = loader
        self.device = device
        self.optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
        self.losses: list[float] = []
        self.accuracies: list[float] = []

    def __call__(self) -> None:
        self.model.train()
        self.losses, self.accuracies = [], []
        for images, labels in batches(self.loader, self.device):
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.item())
            self.accuracies.append((logits.argmax(1) == labels).float().mean().item())


def weight_normed(unit: NormalizedLayer) -> nn.Module:
    """Its linear map as torch's layer with torch's weight norm, of the same w and b."""
    plain = fold(copy.deepcopy(unit.linear)).to(memory_format=torch.contiguous_format)
    plain.bias = nn.Parameter(unit.b.detach().clone())
    return parametrizations.weight_norm(plain)
