"""A signal is remembered, not obeyed at once; a second Ctrl-C is."""

import contextlib
import signal
import threading

import pytest

from wnrepro.runs.interruption import SIGNALS, Interruption


@pytest.mark.parametrize("number", SIGNALS)
def test_is_remembered(number: signal.Signals) -> None:
    with Interruption() as interruption:
        assert interruption.requested is None
        signal.raise_signal(number)
        assert interruption.requested is number
    assert interruption.requested is number


def test_the_first_counts() -> None:
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested is signal.SIGUSR2


def test_second_ctrl_c_stops_at_once() -> None:
    with Interruption():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_old_handlers_come_back() -> None:
    received = []

    def own(number: int, frame: object) -> None:
        received.append(number)

    before = signal.signal(signal.SIGTERM, own)
    try:
        others = [signal.getsignal(number) for number in SIGNALS]
        with contextlib.suppress(RuntimeError), Interruption():
            assert signal.getsignal(signal.SIGTERM) is not own
            raise RuntimeError("handlers come back after an error too")
        assert [signal.getsignal(number) for number in SIGNALS] == others
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_does_nothing_in_another_thread() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []

    def enter() -> None:
        with Interruption() as interruption:
            seen.append(interruption.requested)
            seen.append([signal.getsignal(number) for number in SIGNALS] == before)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [None, True]
