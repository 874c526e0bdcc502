"""Trains our network on a record of the authors' code, and holds the losses side by side.

    python train.py … --seeds 1 --steps 50 --white white --record record     # theirs: see there
    python compare.py --record record --white white/float64-float64 --arm wn_mean_only_bn

Start values, init batch, batches, noise and masks are theirs; layers, init pass, loss, gradients
and Adam are ours. `--own` names what ours shall draw itself. Runs in this project's environment.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.models import build
from wnrepro.nn import Dropout, GaussianNoise, NormalizedLayer, data_dependent_init
from wnrepro.optim import build as build_optimizer
from wnrepro.randomness import BEFORE_TRAINING, Streams

BATCH, INIT_BATCH = 100, 500
TRACE_EVERY, TRACE_IMAGES = 20, 1000  # as in train.py
OWN = ("start", "order", "noise", "dropout")


def arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--record", type=Path, help="folder that train.py --record filled; not if all is --own")
    add("--white", type=Path, required=True, help="folder of whitened images, by train.py --white")
    add("--arm", required=True)
    add("--width", type=int, default=24)
    add("--rate", type=float, default=0.003)
    add("--schedule", type=int, default=10, help="epochs that the schedule is made for")
    add("--epochs", type=int, default=0, help="train so many whole epochs; 0: the record's steps")
    add("--noise", type=float, default=0.15, help="0 where the record has none")
    add("--dropout", type=float, default=0.5, help="0 where the record has none")
    add("--own", choices=OWN, nargs="*", default=[], help="what ours draws itself")
    add("--seed", type=int, default=0, help="of what ours draws itself, and a name for the row")
    add("--trace", type=Path, help="CSV of test errors within the last epoch")
    add("--out", type=Path, help="CSV that gets a row per epoch or step")
    return parser.parse_args()


class Given(nn.Module):
    """In the place of noise or dropout: applies what was drawn elsewhere, in training."""

    def __init__(self, apply) -> None:
        super().__init__()
        self.apply_draw, self.draw = apply, torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_draw(x, self.draw) if self.training else x


class Comparison:
    """Our network at the start of a record."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        (self.images, self.labels), self.test = self.load("train"), self.load("test")
        self.dtype = self.images.dtype
        self.streams = Streams(args.seed)
        self.model = build(
            *("convpool_cnn_c", args.arm, (3, 32, 32), 10),
            width=args.width,
            noise_std=args.noise,
            dropout=args.dropout,
            streams=self.streams,
        ).to(self.dtype)
        self.given = list(self._replace_draws())
        if "start" not in args.own:
            with np.load(args.record / "start.npz") as file:
                units = [each for each in self.model.modules() if isinstance(each, NormalizedLayer)]
                for k, unit in enumerate(units):
                    v = torch.from_numpy(file[f"v{k}"]).to(self.dtype)
                    unit.start_from_(v.reshape(unit.v.shape))
        settings = {"lr": args.rate, "beta1": 0.9, "beta1_late": 0.5, "beta2": 0.999, "eps": 1e-8}
        self.optimizer, self.schedule = build_optimizer(
            "adam", self.model.parameters(), args.schedule, **settings
        )

    def load(self, part: str) -> tuple[Tensor, Tensor]:
        images, labels = (
            torch.from_numpy(np.load(self.args.white / f"{part}-{kind}.npy"))
            for kind in ("images", "labels")
        )
        return images, labels.long()

    def _replace_draws(self):
        """Yield (key in the record's files, module) of each draw that is theirs."""
        keys = iter(f"draw{k}" for k in range(3))
        for name, module in list(self.model.named_children()):
            if isinstance(module, GaussianNoise) and module.std > 0:
                key = next(keys)
                if "noise" not in self.args.own:
                    self.model.add_module(name, Given(torch.add))
                    yield key, self.model.get_submodule(name)
            elif isinstance(module, Dropout) and module.p > 0:
                key, keep = next(keys), 1 - module.p
                if "dropout" not in self.args.own:
                    self.model.add_module(name, Given(lambda x, m, keep=keep: x * (m / keep)))
                    yield key, self.model.get_submodule(name)

    def read(self, name: str, own: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels of a recorded batch; its draws are put where they belong."""
        index = own
        if "order" not in self.args.own or self.given:
            with np.load(self.args.record / f"{name}.npz") as file:
                for key, module in self.given:
                    module.draw = torch.from_numpy(file[key]).to(self.dtype)
                if "order" not in self.args.own:
                    index = torch.from_numpy(file["index"])
        return self.images[index], self.labels[index]

    def initialise(self) -> None:
        self.model.train()
        self.streams.start_epoch(BEFORE_TRAINING)
        images, _ = self.read("init", self.streams.permutation(len(self.labels), 0)[:INIT_BATCH])
        data_dependent_init(self.model, images)

    def epoch(self, epoch: int, n_steps: int):
        """Yield (loss, share of errors) of each step."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(epoch)
            group["betas"] = (self.schedule.beta1_at(epoch), group["betas"][1])
        self.streams.start_epoch(epoch)
        order = self.streams.permutation(len(self.labels), epoch).split(BATCH)
        for t in range(n_steps):
            images, labels = self.read(f"{epoch * len(order) + t:05d}", order[t])
            scores = self.model(images)
            loss = F.cross_entropy(scores, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            yield loss.item(), (scores.argmax(1) != labels).double().mean().item()
            if self.args.trace and epoch == self.args.epochs - 1 and (t + 1) % TRACE_EVERY == 0:
                row = {"code": "ours", "whitening": self.args.white.name.split("-")[1]}
                row |= {"seed": self.args.seed, "step": t + 1}
                append(self.args.trace, row | {"error": f"{self.test_error(TRACE_IMAGES):.1f}"})

    @torch.no_grad()
    def test_error(self, n: int | None = None) -> float:
        """In percent, of the first n test images."""
        self.model.eval()
        parts = zip(*(each[:n].split(500) for each in self.test), strict=True)
        wrong = torch.cat([self.model(images).argmax(1) != labels for images, labels in parts])
        self.model.train()
        return 100 * wrong.double().mean().item()


def side_by_side(theirs: np.ndarray, ours: np.ndarray) -> str:
    """Loss of chosen steps in both codes, and the largest difference up to each."""
    gap = np.abs(ours[:, 0] - theirs[:, 0]) / np.abs(theirs[:, 0])
    lines = ["step | their loss | our loss | largest relative difference up to here"]
    for step in (1, 2, 3, 5, 10, 20, 30, 40, 50, 100, 200, 500):
        if step <= len(gap):
            a, b = theirs[step - 1, 0], ours[step - 1, 0]
            lines.append(f"{step} | {a:.12g} | {b:.12g} | {gap[:step].max():.1e}")
    return "\n".join(lines)


def append(path: Path, row: dict[str, object]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    run = Comparison(args)
    if args.arm != "bn":
        run.initialise()
    theirs = np.empty((0, 2))
    if args.record and (args.record / "losses.csv").exists():
        theirs = np.loadtxt(args.record / "losses.csv", delimiter=",", ndmin=2)
    if not args.epochs:
        ours = np.array(list(run.epoch(0, len(theirs))))
        print(side_by_side(theirs, ours))
        rows = [
            (t + 1, "loss", a, b)
            for t, (a, b) in enumerate(zip(theirs[:, 0], ours[:, 0], strict=True))
        ]
        if (args.record / "test.csv").exists():
            their_test = 100 * float(np.loadtxt(args.record / "test.csv"))
            rows.append((len(theirs), "test error (%)", their_test, run.test_error()))
            print("test error (%) after them: {2:.3f} theirs, {3:.3f} ours".format(*rows[-1]))
        for step, measure, a, b in rows if args.out else ():
            row = {"arm": args.arm, "noise": args.noise, "dropout": args.dropout, "step": step}
            append(args.out, row | {"measure": measure, "theirs": f"{a:.17g}", "ours": f"{b:.17g}"})
        return
    for epoch in range(args.epochs):
        begin = time.perf_counter()
        steps = list(run.epoch(epoch, len(run.labels) // BATCH))
        row = {"arm": args.arm, "seed": args.seed, "epoch": epoch + 1}
        row["train_error_percent"] = f"{100 * np.mean([error for _, error in steps]):.3f}"
        row["test_error_percent"] = f"{run.test_error():.3f}"
        row |= {"own": "+".join(args.own), "noise": args.noise, "dropout": args.dropout}
        row |= {"white": args.white.name, "record": args.record.name if args.record else ""}
        row["seconds"] = f"{time.perf_counter() - begin:.0f}"
        print(row, flush=True)
        if args.out:
            append(args.out, row)


if __name__ == "__main__":
    main()
