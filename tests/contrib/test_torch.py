"""contrib/torch: torch's second derivative of weight norm is wrong, and why; ours is right."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.functional import hessian
from torch.autograd.gradcheck import GradcheckError
from torch.nn.utils.parametrizations import weight_norm as torchs_parametrization

from wnrepro.nn import weight_norm

FOLDER = Path(__file__).parents[2] / "contrib" / "torch"
SCRIPT = runpy.run_path(str(FOLDER / "double_backward.py"))
SHAPES = [((2, 3), 0), ((2, 3), 1), ((3, 2, 2), 0), ((3, 2, 2), 2), ((2, 2, 1, 2), 0)]

Backward = Callable[[Tensor, Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]


def tensors(shape: tuple[int, ...], dim: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    short = [size if axis == dim else 1 for axis, size in enumerate(shape)]
    v = torch.randn(shape, generator=draw, dtype=torch.float64)
    g = torch.randn(short, generator=draw, dtype=torch.float64)
    return v.requires_grad_(), g.requires_grad_()


def by(backward: Backward, dim: int) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    """(∇_w, v, g) → (∇_v, ∇_g), with norms saved outside the graph."""

    def gradients(grad_w: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return backward(grad_w, v, g, torch.norm_except_dim(v.detach(), 2, dim), dim)

    return gradients


def torchs(dim: int) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    def gradients(grad_w: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        w = torch._weight_norm(v, g, dim)
        return torch.autograd.grad(w, (v, g), grad_w, create_graph=True)

    return gradients


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_torchs_second_derivative_fails_the_check_and_ours_passes(
    shape: tuple[int, ...], dim: int
) -> None:
    v, g = tensors(shape, dim)
    assert gradcheck(lambda v, g: torch._weight_norm(v, g, dim), (v, g))
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(lambda v, g: torch._weight_norm(v, g, dim), (v, g))
    assert gradgradcheck(lambda v, g: weight_norm(v, g, dim), (v, g))


def test_other_axes_are_right() -> None:
    assert gradgradcheck(lambda v, g: torch._weight_norm(v, g, 1), tensors((2, 3, 2), 1))


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_the_cause_is_the_saved_norm_and_the_mended_formula_is_right(
    shape: tuple[int, ...], dim: int
) -> None:
    v, g = tensors(shape, dim)
    grad_w = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    grad_w.requires_grad_()
    # the derivative of both gradients, along fixed directions, by ∇_w, v and g
    ways = {
        "torch": torchs(dim),
        "as it is": by(SCRIPT["backward_as_in_torch"], dim),
        "mended": by(SCRIPT["backward_mended"], dim),
    }
    first = {name: way(grad_w, v, g) for name, way in ways.items()}
    for name in ("as it is", "mended"):
        torch.testing.assert_close(first[name], first["torch"])
    second = {
        name: torch.autograd.grad(found, (grad_w, v, g), (v.detach() ** 2, g.detach() ** 2))
        for name, found in first.items()
    }
    torch.testing.assert_close(second["as it is"], second["torch"])
    assert (second["mended"][1] - second["torch"][1]).abs().max() > 0.01
    # differences: of the mended gradients themselves
    assert gradcheck(ways["mended"], (grad_w, v, g))
    with pytest.raises(GradcheckError):
        gradcheck(ways["as it is"], (grad_w, v, g))


def test_penalties_on_the_gradient_by_the_input_are_right() -> None:
    """It passes the backward of weight norm once."""
    v, g = tensors((4, 3), 0)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x.requires_grad_()

    def penalty(w: Tensor) -> Tensor:
        y = (x @ w.T).tanh().square().sum()
        return torch.autograd.grad(y, x, create_graph=True)[0].square().sum()

    ours, theirs = (
        torch.autograd.grad(penalty(w), (v, g))
        for w in (weight_norm(v, g[:, 0]), torch._weight_norm(v, g, 0))
    )
    torch.testing.assert_close(ours, theirs)


def test_the_case_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Its numbers times 27, its code, and that the public parametrization meets it."""
    g = torch.tensor([[3.0]], dtype=torch.float64)

    def w0(v: Tensor) -> Tensor:
        return torch._weight_norm(v, g, 0)[0, 0]

    def w0_by_ours(v: Tensor) -> Tensor:
        return weight_norm(v, g, 0)[0, 0]

    v = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    found = [27 * torch.as_tensor(hessian(f, v))[0, :, 0] for f in (w0, w0_by_ours)]
    report = (FOLDER / "issue.md").read_text(encoding="utf-8")
    for matrix in found:
        assert f"\n{[[round(x) for x in row] for row in matrix.tolist()]}  " in report
        torch.testing.assert_close(matrix, matrix.round())
    code = report.split("```python\n")[1].split("```")[0]
    with pytest.raises(GradcheckError):
        exec(compile(code, "issue.md", "exec"), {})
    SCRIPT["main"]()
    said = capsys.readouterr().out
    assert "first derivative: True" in said
    assert "second derivative: Jacobian mismatch" in said

    layer = torchs_parametrization(torch.nn.Linear(3, 1, bias=False, dtype=torch.float64))
    original = layer.get_parameter("parametrizations.weight.original1")
    (by_v,) = torch.autograd.grad(torch.as_tensor(layer.weight)[0, 0], original, create_graph=True)
    rows = [torch.autograd.grad(x, original, retain_graph=True)[0][0] for x in by_v[0]]
    assert (torch.stack(rows) - torch.stack(rows).T).abs().max() > 1e-3  # no Hessian
