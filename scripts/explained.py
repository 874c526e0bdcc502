"""Draw the two pictures of docs/explained.md.

    python scripts/explained.py [--to docs/pictures]

`step`: one step of gradient descent on v, and M_w beside a reflection, in the plane. `noise`: ‖v‖
under noise and rate. Both are computed with `wnrepro.equations`; the same bytes each time.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from wnrepro import drawing
from wnrepro.drawing import BLUE, GREEN, GREY, PURPLE, RED, label
from wnrepro.equations import gradient_v, projection, weight

RATES = (0.03, 0.1, 0.3, 1.0)
NOISES = (0.0, 0.1, 0.3, 1.0)
RATE, NOISE = 0.1, 0.3
"""What the other panel varies."""
STEPS = 2000


def norms(rates: Tensor, noises: Tensor, steps: int = STEPS, inputs: int = 20) -> Tensor:
    """‖v‖ of one unit per rate and noise over gradient descent on v, [step, unit]; g = ‖v₀‖ = 1.

    L = ‖w − w*‖²/2, and to ∇_w L comes noise of standard deviation σ in each coordinate, anew
    in each step.

    rates, noises: η and σ, (units).
    """
    random = np.random.default_rng(0)
    ones = torch.ones(2, dtype=torch.float64)
    start, target = weight(torch.from_numpy(random.standard_normal((2, inputs))), ones)
    v, g = start.repeat(len(rates), 1), torch.ones_like(rates)
    found = [v.norm(dim=1)]
    for _ in range(steps):
        noise = torch.from_numpy(random.standard_normal(inputs))  # the same for every unit
        gradient_w = weight(v, g) - target + noises[:, None] * noise
        v = v - rates[:, None] * gradient_v(v, g, gradient_w)
        found.append(v.norm(dim=1))
    return torch.stack(found)


def noise() -> Figure:
    figure, panels = drawing.panels(2, height=2.9, sharey=True)
    varied = (
        (NOISES, "noise σ", lambda value: (RATE, value)),
        (RATES, "rate η", lambda value: (value, NOISE)),
    )
    for axes, (values, name, setting) in zip(panels, varied, strict=True):
        rates, noises = torch.tensor([setting(value) for value in values]).double().T
        lines = norms(rates, noises).T.numpy()
        for value, line, colour in zip(values, lines, drawing.shades(len(values)), strict=True):
            axes.plot(line, color=colour)
            label(axes, STEPS, line[-1], f"{value:g}", colour)
        other = f"η = {RATE}" if name.startswith("noise") else f"σ = {NOISE}"
        axes.set(xlabel="step", yscale="log", xlim=(0, STEPS * 1.14), xticks=[0, 1000, 2000])
        axes.set_title(f"{name}, at {other}")
        drawing.plain_numbers(axes.yaxis)
    panels[0].set_ylabel("‖v‖")
    return figure


def step() -> Figure:
    figure, (left, right) = drawing.panels(2, height=2.6)
    v, g = torch.tensor([[2.4, 0.4]]).double(), torch.tensor([1.3]).double()
    gradient_w = torch.tensor([[-0.9, -1.5]]).double()
    moved = v - gradient_v(v, g, gradient_w)  # η = 1
    origin, (old,), (new,) = np.zeros(2), v.numpy(), moved.numpy()
    (w,), (down,) = weight(v, g).numpy(), -gradient_w.numpy()
    along = projection(v[0]).numpy() @ down
    for tail, head, colour, name, place in (
        (origin, old, BLUE, "$v$", (5, -5)),
        (origin, new, PURPLE, r"$v' = v + \Delta v$", (5, 4)),
        (origin, w, GREY, r"$w = g\,v/\Vert v\Vert$", (-30, -13)),
        (w, w + down, RED, r"$-\nabla_w L$", (5, 4)),
        (w, w + along, GREEN, r"$-M_w\nabla_w L$", (-72, 3)),
        (old, new, GREEN, "", (0, 0)),
    ):
        _arrow(left, tail, head, colour)
        label(left, head[0], head[1], name, colour, xytext=place)
    middle = (old + new) / 2
    label(left, middle[0], middle[1], r"$\Delta v$", GREEN, xytext=(6, 0))
    circle = np.linspace(-0.1, 0.9, 100)
    length = np.linalg.norm(old)
    left.plot(length * np.cos(circle), length * np.sin(circle), color=GREY, lw=0.8, ls=":")
    left.set_title("A step: v gets longer")

    line, x = np.array([2.0, 0.6]), np.array([0.7, 1.7])
    m = projection(torch.from_numpy(line)).numpy()
    reflected = (2 * m - np.eye(2)) @ x
    for head, colour, name, place in (
        (line, GREY, "$w$", (5, 0)),
        (x, RED, "$x$", (5, 4)),
        (m @ x, GREEN, "$M_w x$", (-14, 11)),
        (reflected, PURPLE, r"$(I - 2ww^\top\!/\Vert w\Vert^2)\,x$", (-14, -58)),
    ):
        _arrow(right, origin, head, colour)
        label(right, head[0], head[1], name, colour, xytext=place)
    right.plot(*np.stack([x, reflected]).T, color=GREY, lw=0.8, ls=":")
    right.set_title("The projection, and a reflection")
    for axes, start in ((left, -0.1), (right, -1.7)):
        axes.set_aspect("equal")
        axes.axis((start, start + 4.1, -0.3, 2.4))
        axes.axis("off")
    return figure


def _arrow(axes: Axes, tail: np.ndarray, head: np.ndarray, colour: str) -> None:
    look = {"arrowstyle": "-|>", "color": colour, "lw": 1.7, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=head, xytext=tail, arrowprops=look)  # type: ignore[arg-type]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path("docs/pictures"), help="folder")
    folder = parser.parse_args(arguments).to
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (step, noise):
        drawing.save(draw, folder / draw.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
