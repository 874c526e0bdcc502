"""How long a run says that it will take."""

import logging
from collections.abc import Callable
from unittest.mock import MagicMock

import pytest

from wnrepro.commands import display
from wnrepro.commands.display import Display
from wnrepro.config import Config

Compose = Callable[..., Config]


def said(
    config: Config,
    step_sec: Callable[[int], float],
    epoch_steps: int,
    evaluation_sec: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> tuple[str, float]:
    """What is said of a run whose n-th step, from 0, takes step_sec(n); and how long it still took.

    As training has it: nothing is shown after the last step of an epoch but the epoch.
    """
    now = [0.0]
    monkeypatch.setattr(display.time, "perf_counter", lambda: now[0])
    training = MagicMock(epoch=0, step=0, steps_per_epoch=epoch_steps)
    training.device.type = "cuda"  # where bf16 is not proposed
    lines: list[tuple[str, float]] = []
    with Display(config, training, True) as shown, caplog.at_level(logging.INFO, "wnrepro.train"):
        for n in range(config.epochs * epoch_steps):
            now[0] += step_sec(n)
            training.epoch, training.step = divmod(n + 1, epoch_steps)
            if training.step:
                shown.step()
            else:
                now[0] += evaluation_sec
            for record in caplog.records:
                lines.append((record.getMessage(), now[0]))
            caplog.clear()
    ((line, at),) = lines
    return line, now[0] - at


def test_a_run_of_short_epochs_says_how_long_it_takes(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Epochs of 3 s: 600 steps and an evaluation worth 34 of them."""
    config = compose("+exp=mnist_wn", "epochs=200")
    line, left = said(config, lambda n: 0.005, 600, 34 * 0.005, monkeypatch, caplog)
    assert left == pytest.approx(200 * 634 * 0.005 - 20, rel=0.02)
    assert line == "about 10 min to go here (0.005 s a step)"


def test_a_dqn_says_so_when_it_has_begun_to_learn(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before come 12,500 steps of the loop, of random play, in a tenth of the time. The evaluation
    is worth 10,417 steps."""
    config = compose("+exp=dqn_breakout_wn", "epochs=1")
    line, left = said(
        config, lambda n: 0.01 if n < 12_500 else 0.1, 62_500, 10_417 * 0.1, monkeypatch, caplog
    )
    assert left == pytest.approx((50_000 + 10_417) * 0.1, rel=0.01)
    assert line == "about 1.7 h to go here (0.1 s a step)"
