"""Durations as people say them."""

import pytest

from wnrepro.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (59, "59 s"),
        (100, "1.7 min"),
        (4000, "67 min"),
        (40_000, "11 h"),
        (2e5, "2.3 days"),
    ],
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
