"""A step by any way of running it is the same step."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wnrepro.models import build
from wnrepro.nn import NormalizedLayer
from wnrepro.optim import Adam
from wnrepro.randomness import Streams
from wnrepro.tasks.classification.objective import loss_and_errors
from wnrepro.training import Step, Sums, compiled
from wnrepro.training.step import WARM_UP

needs_compiler = pytest.mark.skipif(
    not (shutil.which("c++") or shutil.which("g++")), reason="needs a C++ compiler"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Run:
    """A small network that takes 20 steps; losses, weights and where its streams are."""

    def __init__(
        self,
        *,
        device: str = "cpu",
        arm: str = "wn_mean_only_bn",
        model: str = "convpool_cnn_c",
        compile: bool = False,
        **options: Any,
    ) -> None:
        self.streams = Streams(0, device)
        self.streams.start_epoch(0)
        sizes = {"width": 4} if model == "convpool_cnn_c" else {"width": 8, "dropout": 0.5}
        network = build(model, arm, (3, 12, 12), 10, streams=self.streams, **sizes)
        self.model = network.to(device)
        self.optimizer = Adam(self.model.parameters(), 3e-3)
        self.sums = Sums(torch.device(device), ["errors"])
        self.forward = compiled(self.model) if compile else self.model

        def loss(batch: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
            images, labels = batch
            value, errors = loss_and_errors(self.forward(images), labels)
            return value, [errors]

        self.step = Step(loss, self.optimizer, self.sums, nullcontext, **options)
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(20, 30, 3, 12, 12, generator=generator).to(device)
        self.labels = torch.randint(10, (20, 30), generator=generator).to(device)

    def losses(self, steps: int = 20) -> Tensor:
        before, losses = self.sums.tensor[0].clone(), []
        for k in range(steps):
            for group in self.optimizer.param_groups:
                group["lr"] = 3e-3 / (1 + k)
            self.step(self.images[k], self.labels[k])
            losses.append((self.sums.tensor[0] - before) / 30)
            before = self.sums.tensor[0].clone()
        return torch.stack(losses).cpu()

    def evaluated(self) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            logits = self.forward(self.images[0])
        self.model.train()
        return logits.cpu()


def same_steps(one: Run, other: Run, rtol: float) -> None:
    torch.testing.assert_close(one.losses(), other.losses(), rtol=rtol, atol=0)
    torch.testing.assert_close(one.evaluated(), other.evaluated(), rtol=10 * rtol, atol=10 * rtol)
    for name in ("noise", "dropout"):
        assert torch.equal(one.streams[name].get_state(), other.streams[name].get_state())


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own, of many kinds
@pytest.mark.parametrize("arm", ["wn_mean_only_bn", "bn"])
def test_compiled_it_takes_the_same_twenty_steps(arm: str) -> None:
    same_steps(Run(arm=arm), Run(arm=arm, compile=True), rtol=1e-3)


@needs_compiler
@pytest.mark.filterwarnings("ignore")
def test_a_model_that_is_no_sequence_is_compiled_whole() -> None:
    layer = NormalizedLayer("wn", nn.Linear(5, 3))
    x = torch.randn(7, 5)
    torch.testing.assert_close(compiled(layer)(x), layer(x))


def test_the_forward_pass_is_in_the_precision_of_autocast_and_the_metrics_are_not() -> None:
    model = nn.Linear(5, 3)
    x, labels = torch.randn(7, 5), torch.arange(7) % 3
    seen: list[Tensor] = []

    def loss(batch: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        images, labels = batch
        seen.append(model(images))
        value, errors = loss_and_errors(seen[-1], labels)
        return value, [errors]

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    sums = Sums(torch.device("cpu"), ["errors"])
    with autocast():
        expected = nn.functional.cross_entropy(model(x).float(), labels).item()
    Step(loss, Adam(model.parameters()), sums, autocast)(x, labels)
    (logits,) = seen
    assert logits.dtype == torch.bfloat16
    totals, n = sums.read()
    assert totals["loss"] / n == pytest.approx(expected, rel=1e-6)
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32


class FakeGraph:
    """Records nothing and runs the step again: what a CUDA graph does, seen from outside."""

    def __init__(self) -> None:
        self.registered: list[torch.Generator] = []
        self.replays = 0
        self.step: Step | None = None

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.registered.append(generator)

    def replay(self) -> None:
        self.replays += 1
        step = self.step
        assert step is not None
        # A replay writes where the capture did: into the same tensors.
        gradients = {p: p.grad for group in step.optimizer.param_groups for p in group["params"]}
        step._gradients(step._batch)
        for p, gradient in gradients.items():
            assert p.grad is not None
            p.grad = p.grad if gradient is None else gradient.copy_(p.grad)


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    graphs: list[FakeGraph] = []

    class Stream:
        def wait_stream(self, other: object) -> None:
            assert isinstance(other, Stream)
            assert other is not self

    @contextmanager
    def graph(it: FakeGraph, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        """Nothing happens while it is captured."""
        assert isinstance(stream, Stream)
        graphs.append(it)
        with monkeypatch.context() as inside:
            inside.setattr(Step, "_gradients", lambda step, *batch: setattr(it, "step", step))
            yield

    def stream(stream: Stream) -> Any:
        return nullcontext()

    current = Stream()
    for name, fake in {
        "CUDAGraph": FakeGraph,
        "Stream": Stream,
        "graph": graph,
        "stream": stream,
        "current_stream": lambda: current,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return graphs


def test_captured_after_the_warm_up_and_then_replayed(fake_cuda: list[FakeGraph]) -> None:
    plain, captured = Run(), Run(capture=True)
    captured.step.generators = tuple(captured.streams[name] for name in ("noise", "dropout"))
    assert torch.equal(plain.losses(), captured.losses())
    (graph,) = fake_cuda
    assert graph.registered == list(captured.step.generators)
    assert graph.replays == 20 - WARM_UP
    assert torch.equal(plain.evaluated(), captured.evaluated())


@needs_gpu
@pytest.mark.parametrize("model", ["convpool_cnn_c", "mlp"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_gpu_replays_the_same_twenty_steps(model: str, compile: bool) -> None:
    captured = Run(device="cuda", model=model, compile=compile, capture=True)
    captured.step.generators = tuple(captured.streams[name] for name in ("noise", "dropout"))
    same_steps(Run(device="cuda", model=model), captured, rtol=1e-3)
