"""Training as a generator of epoch metrics."""

import copy
import math
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wnrepro.arms import ARMS
from wnrepro.data import Dataset, Split
from wnrepro.models import build
from wnrepro.nn import NormalizedLayer
from wnrepro.optim import Adam, Schedule
from wnrepro.randomness import Streams
from wnrepro.tasks.classification.objective import Classification
from wnrepro.training import Epoch, Sums, SupervisedTraining


class Enough(Exception):
    pass


def dataset(n: int = 230, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Dataset:
    """Four classes that can be told apart."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (n,), generator=generator)
    means = torch.randn(4, 1, 4, 4, generator=generator)
    images = means[labels] + 0.5 * torch.randn(n, 1, 4, 4, generator=generator)
    images, labels = images.to(device, dtype), labels.to(device)
    return Dataset(
        name="blobs",
        train=Split(images[:180], labels[:180]),
        evaluation=Split(images[180:], labels[180:]),
        evaluation_name="test",
        n_classes=4,
        checksum="",
    )


def training(
    arm: str = "wn", epochs: int = 4, lr: float = 0.01, seed: int = 0, **options: Any
) -> SupervisedTraining:
    data = dataset(**options)
    streams = Streams(seed, data.train.images.device)
    shape, classes = data.image_shape, data.n_classes
    model = build(
        "mlp", arm, shape, classes, width=8, depth=2, dropout=0.2, noise_std=0.1, streams=streams
    ).to(data.train.images)
    optimizer = Adam(model.parameters(), lr)
    objective = Classification(model, data)
    result = SupervisedTraining(objective, optimizer, Schedule(epochs, lr), streams, batch_size=50)
    if ARMS[arm].takes_init:
        result.initialise(100)
    return result


def data_of(training: SupervisedTraining) -> Dataset:
    assert isinstance(training.objective, Classification)
    return training.objective.dataset


def record(epochs: list[Epoch]) -> list[str]:
    """What the config determines."""
    return [f"{each.epoch} {each.metrics} {each.layers}" for each in epochs]


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_learns(arm: str) -> None:
    metrics = list(training(arm, epochs=30).epochs())
    assert [m.epoch for m in metrics] == list(range(1, 31))
    assert metrics[-1].metrics["train_loss"] < 0.5 * metrics[0].metrics["train_loss"]
    assert metrics[-1].metrics["test_error_percent"] < 20


def test_metrics_are_those_of_a_loop_written_out() -> None:
    """Running loss and error, schedule, order, gradients: against a plain loop in float64."""
    engine = training(epochs=2, dtype=torch.float64)
    reference = copy.deepcopy(engine)
    metrics = list(engine.epochs())
    model, data = reference.model, data_of(reference)
    optimizer = Adam(model.parameters(), 0.01)
    for epoch in range(2):
        optimizer.param_groups[0]["lr"] = 0.01 * min(2 - epoch, 1)
        optimizer.param_groups[0]["betas"] = ((0.9, 0.5)[epoch], 0.999)
        streams = reference.streams
        streams.start_epoch(epoch)
        # the copied model has copies of the generators
        for module in model.modules():
            if getattr(module, "generator", None) is not None:
                name = "noise" if type(module).__name__ == "GaussianNoise" else "dropout"
                module.generator = streams[name]  # pyright: ignore[reportAttributeAccessIssue]
        order = streams.permutation(180, epoch)
        model.train()
        losses, errors = [], []
        for k in range(3):
            index = order[50 * k : 50 * k + 50]
            logits = model(data.train.images[index])
            loss = F.cross_entropy(logits, data.train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            errors.append((logits.argmax(1) != data.train.labels[index]).double().mean().item())
        row = metrics[epoch].metrics
        assert row["train_loss"] == pytest.approx(sum(losses) / 3, rel=1e-12)
        assert row["train_error_percent"] == pytest.approx(100 * sum(errors) / 3)
        assert row["learning_rate"] == optimizer.param_groups[0]["lr"]
        for name, unit in model.named_modules():
            if isinstance(unit, NormalizedLayer):
                norms = metrics[epoch].layers[name]
                assert unit.g is not None
                assert unit.v.grad is not None
                assert norms["v_norm"] == pytest.approx(unit.v.norm(dim=1).mean().item())
                assert norms["g"] == pytest.approx(unit.g.abs().mean().item())
                assert norms["grad_norm"] == pytest.approx(unit.v.grad.norm(dim=1).mean().item())
        model.eval()
        with torch.no_grad():
            logits = model(data.evaluation.images)
        wrong = (logits.argmax(1) != data.evaluation.labels).double().mean().item()
        loss = F.cross_entropy(logits, data.evaluation.labels).item()
        assert row["test_error_percent"] == pytest.approx(100 * wrong)
        assert row["test_loss"] == pytest.approx(loss, rel=1e-12)


def test_two_runs_of_one_seed_are_the_same_and_of_two_seeds_are_not() -> None:
    first = record(list(training().epochs()))
    torch.manual_seed(99)
    assert record(list(training().epochs())) == first
    assert record(list(training(seed=1).epochs())) != first


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_interrupted_and_resumed_is_the_same_as_undisturbed(arm: str, steps: int) -> None:
    undisturbed = record(list(training(arm).epochs()))
    first, metrics, count = training(arm), [], 0

    def stop_after() -> None:
        nonlocal count
        count += 1
        if count == steps:
            raise Enough

    with pytest.raises(Enough):
        metrics.extend(first.epochs(stop_after))
    state = copy.deepcopy(first.state_dict())
    second = training(arm, seed=0)
    list(second.epochs())  # whatever a new object holds is replaced
    second.load_state_dict(state)
    metrics += list(second.epochs())
    assert record(metrics) == undisturbed


@pytest.mark.parametrize("steps", [1, 2])
def test_the_time_of_an_interrupted_epoch_is_that_of_all_its_steps(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only steps move: each of an epoch's three takes 2 s, and a save 0.5 s."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    train_step = SupervisedTraining.train_step

    def two_seconds(self: SupervisedTraining, batch: tuple[Tensor, ...]) -> None:
        train_step(self, batch)
        clock.now += 2

    monkeypatch.setattr(SupervisedTraining, "train_step", two_seconds)
    saved: list[dict[str, Any]] = []

    def after_step() -> None:
        if (engine.epoch, engine.step) == (1, steps):
            with engine.paused():
                saved.append(copy.deepcopy(engine.state_dict()))
                clock.now += 0.5

    engine = training(epochs=3)
    assert times(engine.epochs(after_step)) == [(6, 150 / 6)] * 3
    clock.now += 1000
    resumed = training(epochs=3)
    resumed.load_state_dict(saved[0])
    assert resumed.state_dict()["train_time_sec"] == 2 * steps
    clock.now += 1000
    assert times(resumed.epochs()) == [(6, 150 / 6)] * 2


def times(epochs: Iterator[Epoch]) -> list[tuple[float, float]]:
    return [(e.timing["train_time_sec"], e.timing["samples_per_sec"]) for e in epochs]


def test_a_state_can_be_read_at_any_time_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    engine = training(epochs=2)

    def after_step() -> None:
        clock.now += 1
        states = [engine.state_dict() for _ in range(2)]
        assert states[0]["train_time_sec"] == states[1]["train_time_sec"] == engine.step

    assert [e.timing["train_time_sec"] for e in engine.epochs(after_step)] == [2, 2]
    assert engine.state_dict()["train_time_sec"] == 2


def test_what_a_device_still_had_to_do_when_it_was_saved_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clock that the device moves, 2 s for each step, when it is waited for and not before."""
    clock = SimpleNamespace(now=0.0, queued=0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)

    def wait(*_: object) -> None:
        clock.now, clock.queued = clock.now + 2 * clock.queued, 0

    monkeypatch.setattr("wnrepro.training.clock.wait_for", wait)
    train_step, read = SupervisedTraining.train_step, Sums.read

    def enqueue(self: SupervisedTraining, batch: tuple[Tensor, ...]) -> None:
        train_step(self, batch)
        clock.queued += 1

    monkeypatch.setattr(SupervisedTraining, "train_step", enqueue)
    monkeypatch.setattr(Sums, "read", lambda self: (wait(), read(self))[1])

    def after_step() -> None:
        if engine.step == 2:
            with engine.paused():
                assert engine.state_dict()["train_time_sec"] == 4
                clock.now += 0.5

    engine = training(epochs=2)
    assert [e.timing["train_time_sec"] for e in engine.epochs(after_step)] == [6, 6]


def test_between_steps_the_caller_is_asked_but_not_after_the_last() -> None:
    calls: list[tuple[int, int]] = []
    engine = training(epochs=2)
    list(engine.epochs(lambda: calls.append((engine.epoch, engine.step))))
    assert calls == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_a_run_that_diverges_ends_with_its_curve_so_far() -> None:
    metrics = list(training("plain", epochs=50, lr=1e25).epochs())
    assert len(metrics) < 50
    assert [m.diverged for m in metrics] == [False] * (len(metrics) - 1) + [True]
    assert not math.isfinite(metrics[-1].metrics["train_loss"])


def test_evaluation_leaves_no_trace() -> None:
    engine = training("wn_mean_only_bn", epochs=1)
    assert isinstance(engine.objective, Classification)
    more = Dataset(**(vars(data_of(engine)) | {"evaluation": dataset(900).train}))
    engine.objective.dataset = more
    few = training("wn_mean_only_bn", epochs=1)
    list(engine.epochs()), list(few.epochs())
    for (name, ours), theirs in zip(
        engine.model.state_dict().items(), few.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_what_an_arm_has_not_is_missing_and_not_zero() -> None:
    (metrics,) = training("plain", epochs=1).epochs()
    assert all(norms["g"] is None for norms in metrics.layers.values())
    assert all(norms["v_norm"] for norms in metrics.layers.values())


def test_any_module_that_maps_images_to_logits_can_be_trained() -> None:
    data = dataset()
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    optimizer = Adam(model.parameters(), 0.01)
    objective = Classification(model, data)
    engine = SupervisedTraining(objective, optimizer, Schedule(2, 0.01), Streams(0), batch_size=180)
    assert [m.layers for m in engine.epochs()] == [{}, {}]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for_inside_an_epoch() -> None:
    engine = training("wn_mean_only_bn", epochs=3, device="cuda")
    asked = 0

    def after_step() -> None:
        nonlocal asked
        if engine.epoch < 2:  # until the step is captured
            return
        asked += 1
        # from the first step to the last but one, whatever waits is an error
        torch.cuda.set_sync_debug_mode("error" if engine.step < 2 else "default")

    try:
        list(engine.epochs(after_step))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert asked == 2
