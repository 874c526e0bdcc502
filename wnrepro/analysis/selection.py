"""Some of the runs: those in which keys of the config have the values asked for."""

import math
from collections.abc import Sequence

import pandas as pd

from wnrepro.analysis.tidy import Results, keys_of
from wnrepro.errors import ConfigError, did_you_mean
from wnrepro.runs.tables import SETTINGS

_MISSING = ("null", "none")
_SHOWN = 8
"""Values that are listed; of the others the number is said."""


def matching(found: Results, conditions: Sequence[str]) -> Results:
    """The runs that meet all conditions: `norm=wn`, `optim.lr=0.003`, `seed=0,1,2` (any of these).

    Raises:
        ConfigError: a condition is none, its key is unknown, or no run meets them.
    """
    final = found.final
    for condition in conditions:
        key, equals, values = condition.partition("=")
        if not (key and equals and values):
            raise ConfigError(f"{condition!r} is no condition: write key=value, as norm=wn")
        column = column_of(final, key)
        met = column.map(lambda cell, values=values: any(_is(cell, v) for v in values.split(",")))
        if not met.any():
            raise ConfigError(f"no run has {condition}: there {_are(column)}")
        final = final[met]
    return found.of(final["identity"])


def column_of(final: pd.DataFrame, key: str) -> pd.Series:
    """The values of a key in each run of `Results.final`.

    key: as in a command (`norm`, `optim.lr`), its last part where only one has that (`lr`), or a
        column that says what the run is (`arm`, `device`).

    Raises:
        ConfigError: there is no such key.
    """
    keys = keys_of(final["config"])
    ends = [each for each in keys if each.endswith(f".{key}")]
    for name in (key, f"{key}.name", SETTINGS.get(key), *(ends if len(ends) == 1 else ())):
        if name in keys:
            return keys[name]
    if key in final and key != "config":
        return final[key]
    short = [each.removesuffix(".name") for each in keys]
    close = did_you_mean(key, short)
    raise ConfigError(f"{key} is no key of these runs{close}; they have {', '.join(short)}")


def unique(values: pd.Series) -> list:
    """Each value once: numbers by size, then words, then NaN."""
    known = sorted(values.dropna().unique(), key=lambda value: (isinstance(value, str), value))
    return [*known, *([math.nan] if values.isna().any() else [])]


def shown(values: pd.Series) -> list[str]:
    """Each value once, as people write it."""
    return list(map(said, unique(values)))


def said(value: object) -> str:
    if pd.isna(value):
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _are(values: pd.Series) -> str:
    known = shown(values)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{'is' if len(known) == 1 else 'are'} {', '.join(known[:_SHOWN])}{more}"


def _is(cell: object, value: str) -> bool:
    if pd.isna(cell):
        return value.lower() in _MISSING
    if str(cell).lower() == value.lower():
        return True
    try:
        return not isinstance(cell, bool) and float(str(cell)) == float(value)
    except ValueError:
        return False
