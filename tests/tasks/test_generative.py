"""DRAW and the VAEs as tasks: trained, resumed, drawn, refused; their images and their bound."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wnrepro.commands.own_runs import show_comparison
from wnrepro.config import Config, as_dict
from wnrepro.data import load
from wnrepro.errors import ConfigError
from wnrepro.runs import pictures
from wnrepro.runs.collection import collect
from wnrepro.runs.identity import identity, run_directory
from wnrepro.runs.rows import read_rows
from wnrepro.runs.tables import read_tables
from wnrepro.tasks import TASKS
from wnrepro.tasks.generative import Generative, Images, Terms, images
from wnrepro.train import Stopped, train
from wnrepro.training import ParameterAverage

Compose = Callable[..., Config]

SMALL = {
    "draw": ("model.width=8", "task.glimpses=2", "task.latent=3"),
    "vae_mnist": ("model.width=2", "task.latent=3", "task.flow_width=8", "init.batch_size=20"),
    "vae_cifar": ("model.width=4", "task.latent=2", "task.depths=[1,1]", "init.batch_size=20"),
}


@pytest.fixture
def small(compose: Compose, data_root: Path, tmp_path: Path) -> Compose:
    fixed = ("data.train_size=60", "data.evaluation_size=20", "batch_size=10", "epochs=3")
    fixed = (*fixed, "tracker=none", f"data.root={data_root}")

    def composed(name: str, arm: str, *overrides: str, root: str = "runs") -> Config:
        root = f"runs.root={tmp_path / root}"
        return compose(f"+exp={name}_{arm}", *SMALL[name], *fixed, root, *overrides)

    return composed


@pytest.mark.parametrize(("name", "arm"), [("draw", "plain"), *((name, "wn") for name in SMALL)])
def test_it_trains_draws_and_goes_on_to_the_same_bytes(
    name: str, arm: str, small: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["task.importance_samples=3"]
    if name == "vae_mnist":
        changes.append("task.binarised=dynamic")
    config = small(name, arm, *changes)
    assert train(config).state == "done"
    whole = run_directory(as_dict(config))
    task, rows = TASKS[config.task.name], read_rows(whole / "metrics.csv")
    evaluated = [c for c in task.columns if c.startswith("test_")]
    assert set(evaluated) <= set(rows[0])
    for row in rows:
        bound = row["test_reconstruction_nats"] + row["test_kl_nats"]
        assert row["test_negative_bound_nats"] == pytest.approx(bound)
        assert math.isfinite(row["train_loss"])
    for kind in ("test_", *(["test_averaged_"] if task.averaged else [])):
        estimates = [row[f"{kind}negative_log_p_nats"] for row in rows]
        assert estimates[:-1] == [None, None]
        assert math.isfinite(estimates[-1])
    assert rows[-1]["train_negative_bound_nats"] < rows[0]["train_negative_bound_nats"]
    for picture in ("curves", "samples", "reconstructions"):
        assert (whole / f"{picture}.png").stat().st_size > 200

    batch, given = Generative.batch, []

    def stops_in_epoch_2(self: Generative, chosen: Tensor) -> tuple[Tensor]:
        given.append(chosen)
        if len(given) == 6 + 4 + (name != "draw"):  # the init has one too
            raise Stopped
        return batch(self, chosen)

    config = small(name, arm, *changes, root="stopped")
    with monkeypatch.context() as patch:
        patch.setattr(Generative, "batch", stops_in_epoch_2)
        assert train(config).state == "interrupted"
    assert train(config).state == "done"
    stopped = run_directory(as_dict(config))
    assert (stopped / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()

    collect([tmp_path / "runs"], tmp_path / "results")
    (collected,) = read_tables(tmp_path / "results").values()
    for column in ("test_kl_nats", "test_negative_log_p_nats"):
        assert collected.rows()[-1][column] == rows[-1][column]
    kept = pictures.kept(tmp_path / "results")[collected.row["identity"]]
    assert set(kept) == {each.name for each in task.pictures}
    for picture, path in kept.items():
        assert path.read_bytes() == (whole / f"{picture}.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "arm", "override", "said"),
    [
        ("draw", "bn", "", r"norm\.name=bn is unknown; choose from plain, wn"),
        ("draw", "wn", "init=data_dependent", "add init=none"),
        ("draw", "wn", "precision=bf16", "use float32"),
        ("draw", "wn", "data=cifar10", r"needs images of 1 channel; data=cifar10 has 3"),
        ("draw", "wn", "model=mlp", r"model\.name=mlp is unknown"),
        (
            "draw",
            "wn",
            "task.start=uniform",
            r"task\.start=uniform is unknown ",
        ),
        ("draw", "wn", "task.glimpses=0", r"task\.glimpses=0 is out of range"),
        ("draw", "wn", "task.importance_samples=-1", r"task\.importance_samples=-1"),
        ("draw", "wn", f"task.fixed_seed={2**63}", r"task\.fixed_seed"),
        ("draw", "wn", "+task.glimpse=3", r"task\.glimpse is no key of the config"),
        ("vae_mnist", "wn", "task.binarised=no", "fixed or dynamic"),
        ("vae_mnist", "wn", "task.average=1", "must be below 1"),
        ("vae_cifar", "wn", "task.binarised=fixed", "use no"),
        ("vae_cifar", "wn", "task.depths=[2,2,2,2,2,2]", "a number of layers"),
        ("vae_cifar", "wn", "data.whiten=true", "takes pixels as they are"),
        ("vae_cifar", "wn", "task.free_bits=-1", r"task\.free_bits=-1"),
    ],
)
def test_what_it_cannot_be(name: str, arm: str, override: str, said: str, compose: Compose) -> None:
    with pytest.raises(ConfigError, match=said):
        compose(f"+exp={name}_{arm}", *([override] if override else []))


def test_the_task_stands_in_the_name_of_the_folder(compose: Compose) -> None:
    draw, classifier = compose("+exp=draw_wn"), compose("+exp=mnist_wn")
    assert run_directory(as_dict(draw)).parent.name == "draw_mnist_wn"
    assert run_directory(as_dict(classifier)).parent.name == "mnist_wn"


def test_fixed_binarisation_is_of_no_seed_and_follows_the_intensities(
    small: Compose, data_root: Path
) -> None:
    device = torch.device("cpu")
    one, other = (images(small("draw", "wn", f"seed={seed}"), device) for seed in (0, 5))
    assert torch.equal(one.train, other.train)
    assert torch.equal(one.evaluation, other.evaluation)
    assert set(one.train.unique().tolist()) == {0.0, 1.0}
    many = images(small("draw", "wn", "data.train_size=20000"), device).train
    intensity = load("mnist", root=data_root, train_size=20_000).train.images
    intensity = (intensity * 128 + 127.5) / 255
    assert intensity.min() == 0
    assert intensity.max() == 1
    assert many.mean().item() == pytest.approx(intensity.mean().item(), abs=3e-4)
    assert (many[intensity == 1] == 1).all()
    assert (many[intensity == 0] == 0).all()


def test_the_seed_of_what_is_fixed_is_in_the_record(small: Compose) -> None:
    usual, other = small("draw", "wn"), small("draw", "wn", "task.fixed_seed=-1")
    drawn = [images(each, torch.device("cpu")) for each in (usual, other)]
    for one, another in zip(*drawn, strict=True):
        assert isinstance(one, str) or not torch.equal(one, another)
    recorded = as_dict(usual)
    assert recorded["task"]["fixed_seed"] == 160207868
    del recorded["task"]["fixed_seed"]  # as runs recorded it that had no such key
    assert identity(recorded) == identity(as_dict(usual)) != identity(as_dict(other))


def test_dynamic_binarisation_draws_anew_and_evaluates_on_the_fixed_images(small: Compose) -> None:
    fixed, dynamic = (
        images(small("vae_mnist", "wn", f"task.binarised={each}"), torch.device("cpu"))
        for each in ("fixed", "dynamic")
    )
    assert torch.equal(fixed.evaluation, dynamic.evaluation)
    generator = torch.Generator().manual_seed(0)
    objective = Generative(nn.Identity(), dynamic, "dynamic", generator)
    (one,), (other,) = (objective.batch(torch.arange(5)) for _ in range(2))
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(one, other)


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x|z) = N(Wz, s²I); q = N(Mx, C Cᵀ). Its log p(x) is known."""

    W = torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.2, 0.9]], dtype=torch.float64)
    s = 0.7

    def __init__(self, exact: bool) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)
        precision = torch.eye(2, dtype=torch.float64) + self.W.T @ self.W / self.s**2
        self.mean = torch.linalg.inv(precision) @ self.W.T / self.s**2
        covariance = torch.linalg.inv(precision)
        if not exact:  # the best diagonal posterior: the precision's diagonal
            covariance = torch.diag(1 / precision.diagonal())
        self.root = torch.linalg.cholesky(covariance)
        self.gap = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision)).item()

    def forward(self, x: Tensor) -> Terms:
        eps = torch.empty(len(x), 2, dtype=torch.float64).normal_(generator=self.generator)
        z = x @ self.mean.T + eps @ self.root.T
        q = torch.distributions.MultivariateNormal(x @ self.mean.T, scale_tril=self.root)
        p_x = torch.distributions.Normal(z @ self.W.T, self.s)
        log_p_z = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
        reconstruction, kl = -p_x.log_prob(x).sum(1), q.log_prob(z) - log_p_z
        return Terms((reconstruction + kl).mean(), reconstruction, kl)

    def log_weight(self, x: Tensor) -> Tensor:
        _, reconstruction, kl = self(x)
        return -(reconstruction + kl)

    def log_p(self, x: Tensor) -> Tensor:
        covariance = self.W @ self.W.T + self.s**2 * torch.eye(3, dtype=torch.float64)
        zero = torch.zeros(3, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(zero, covariance).log_prob(x)


def test_the_bound_of_a_linear_gaussian_model() -> None:
    x = torch.randn(100, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = LinearGaussian(exact=True)
    terms = exact(x)
    torch.testing.assert_close(-(terms.reconstruction + terms.kl), exact.log_p(x))
    diagonal = LinearGaussian(exact=False)
    many = x.repeat(400, 1)
    terms = diagonal(many)
    gap = (diagonal.log_p(many) + terms.reconstruction + terms.kl).view(400, 100).mean(1)
    error = gap.std().item() / 400**0.5
    assert gap.mean().item() == pytest.approx(diagonal.gap, abs=4 * error)
    assert diagonal.gap > 10 * error
    # the same through the objective's evaluation, which always draws alike
    objective = Generative(diagonal, Images(x, x, "test"), "no", torch.Generator())
    first, again = (objective.evaluate(diagonal) for _ in range(2))
    assert first == again
    log_p = diagonal.log_p(x).mean().item()
    assert first["negative_bound_nats"] == pytest.approx(diagonal.gap - log_p, abs=0.5)


def test_importance_sampling_tightens_the_bound_of_a_linear_gaussian_model() -> None:
    """bound ≤ E[IW_k] ≤ log p, and closer the larger k; with the exact posterior log p at once."""
    x = torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = LinearGaussian(exact=False)
    log_p = model.log_p(x).mean().item()

    def estimate(model: LinearGaussian, k: int) -> float:
        given = Images(x, x, "test")
        objective = Generative(model, given, "no", torch.Generator(), importance_samples=k)
        assert objective.final(last=False) == {"negative_log_p_nats": None}
        with torch.no_grad():
            found = objective.final(last=True)
            if k == 1:
                assert objective.final(last=True) == found
        return -found["negative_log_p_nats"]

    gaps = [log_p - estimate(model, k) for k in (1, 5, 40)]
    assert gaps[0] == pytest.approx(model.gap, rel=0.2)  # one draw: the bound
    assert gaps[1] < 0.6 * gaps[0]
    assert abs(gaps[2]) < 0.15 * gaps[0]
    assert estimate(LinearGaussian(exact=True), 1) == pytest.approx(log_p, rel=1e-12)
    none = Generative(model, Images(x, x, "test"), "no", torch.Generator())
    assert none.final(last=True) == {}


def test_an_average_of_parameters() -> None:
    p = nn.Parameter(torch.tensor([1.0, 2.0]))
    average = ParameterAverage([p], 0.9)
    expected = p.detach().clone()
    for k in range(5):
        with torch.no_grad():
            p.add_(k)
        average.update()
        expected = 0.9 * expected + 0.1 * p.detach()
    torch.testing.assert_close(average.averages[0], expected)
    now = p.detach().clone()
    with average.applied():
        torch.testing.assert_close(p.detach(), expected)
    assert torch.equal(p.detach(), now)
    copied = ParameterAverage([p], 0.9)
    copied.load_state_dict(average.state_dict())
    assert torch.equal(copied.averages[0], average.averages[0])
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        ParameterAverage([p], 1.0)


def test_every_column_of_a_task_has_words_for_readers(small: Compose, tmp_path: Path) -> None:
    for task in TASKS.values():
        assert len(set(task.labels.values())) == len(task.columns)
    assert TASKS["classification"].labels["held_out_error_percent"] == "held-out error (%)"
    for arm in ("plain", "wn"):
        assert train(small("vae_mnist", arm, "epochs=1")).state == "done"
    show_comparison(["norm=plain", "norm=wn"], [tmp_path / "runs"])
