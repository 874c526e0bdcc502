"""One training step, as fast as the device takes it: eager, compiled, or replayed by a GPU."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import groupby

import torch
from torch import Tensor, nn

from wnrepro.nn import Dropout, GaussianNoise
from wnrepro.training.sums import Sums

Batch = tuple[Tensor, ...]
"""Tensors whose first axis is the example; the same number of tensors in each batch of a task."""

Loss = Callable[[Batch], tuple[Tensor, Sequence[Tensor]]]
"""A batch's tensors → the mean loss over its examples, and what else of it is summed up."""

WARM_UP = 3
"""Steps that a GPU takes one kernel at a time before they are captured: libraries choose their
algorithms and torch compiles in them. They are steps of the training like any other."""


class Step:
    """`step(*batch)`: loss, gradients, metrics added to `sums`, the optimiser's update.

    On a CPU, and on a GPU without `capture`, torch runs it operation by operation. With `capture`
    forward and backward are recorded as a CUDA graph after `WARM_UP` steps and replayed from then
    on, so that a step costs the GPU's time and not Python's. The optimiser's update stays outside
    the graph: its learning rate and decays are free to change, and its few kernels are launched
    while the GPU is still busy. Batches must then be of one size, and the model and
    `sums` keep their tensors where they are: state may be copied into them, not replaced.

    loss: of a batch. generators: those of a GPU that it draws from, so that each replay draws anew.
    clip_norm: the largest norm of the gradient of all parameters; a larger one is scaled down.
    """

    def __init__(
        self,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        sums: Sums,
        autocast: Callable[[], AbstractContextManager],
        generators: Iterable[torch.Generator] = (),
        capture: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.sums = sums
        self.autocast = autocast
        self.generators = tuple(generators)
        self.clip_norm = clip_norm
        self._warm_up = WARM_UP if capture else None
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *batch: Tensor) -> None:
        if self._warm_up is None:
            self._gradients(batch)
        elif self._warm_up > 0:
            self._warm_up -= 1
            self._on_a_side_stream(batch)
        else:
            self._replay(batch)
        if self.clip_norm is not None:
            parameters = (p for group in self.optimizer.param_groups for p in group["params"])
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        self.optimizer.step()

    def _gradients(self, batch: Batch) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss, others = self.loss(batch)
        loss.backward()
        self.sums.add(loss, others, len(batch[0]))

    def _on_a_side_stream(self, batch: Batch) -> None:
        """As torch asks for before a capture, which is on a stream of its own too."""
        current = torch.cuda.current_stream()
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._gradients(batch)
        current.wait_stream(self._stream)

    def _replay(self, batch: Batch) -> None:
        if self._graph is None:
            self._batch = tuple(each.clone() for each in batch)
            self._graph = self._captured()
        else:
            for own, each in zip(self._batch, batch, strict=True):
                own.copy_(each)
        self._graph.replay()

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        # Gradients made in the graph lie in its own memory, where each replay writes them.
        self.optimizer.zero_grad(set_to_none=True)
        # thread_local: what other threads ask of the GPU, as for its load, is none of our business
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._gradients(self._batch)
        return graph


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """`model` with what lies between two draws of noise compiled into one graph each.

    The draws themselves stay as they are: they come from generators with names, which the compiler
    does not know, and so are the same numbers, compiled or not. They are found in an
    `nn.Sequential`; any other model is compiled as one.
    """
    # Torch counts how often it compiled one function, whatever modules that calls; and a process
    # may train many runs. For each of them three segments, in two modes, for a few batch sizes.
    torch._dynamo.reset()
    torch._dynamo.config.recompile_limit = 32
    parts: list[Callable[[Tensor], Tensor]] = []
    modules = model if isinstance(model, nn.Sequential) else [model]
    for draws, group in groupby(modules, lambda each: isinstance(each, (Dropout, GaussianNoise))):
        segment = _chain(tuple(group))
        parts.append(segment if draws else torch.compile(segment, fullgraph=True, dynamic=False))
    return _chain(tuple(parts))


def _chain(parts: tuple[Callable[[Tensor], Tensor], ...]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        for part in parts:
            x = part(x)
        return x

    return run
