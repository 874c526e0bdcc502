"""Which run a config describes: a function of what is computed, never of the clock."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wnrepro.tasks import FIRST

EXCLUDED = ("tracker", "runs", "scale", "data.root", "device", "threads", "compile")
"""Dotted keys that do not change what is computed, so that a run is recognised without them.

`tracker`: where curves are shown. `runs` and `data.root`: where files lie. `scale`: by then it has
shrunk what it shrinks. `device`, `threads`, `compile`: which hardware computes, how many cores of
it and by whose kernels; a run may be interrupted on one machine and go on on another. The manifest
says which ones they were.
"""

ADDED: Mapping[str, Any] = {
    "task.name": FIRST,
    "task.importance_samples": 0,
    "task.fixed_seed": 160207868,
    "data.whitening_dtype": "float64",
}
"""Dotted keys that the schema gained after the first runs, with the value that those runs had.

A key with that value stays out of the identity, so that the older runs keep theirs: every new key
of the schema goes in here. A group with nothing else in it is left out too.
"""


def identity(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that name the resolved `config` without the `EXCLUDED` keys.

    Equal numbers count as equal (`1` and `1.0` are one learning rate); `True` is no number. The
    order of keys and the difference between a list and a tuple do not count.

    Raises:
        TypeError: a value that is no mapping, sequence, string, number, bool or None.
        ValueError: a number that is infinite or nan.
    """
    return hashlib.sha256(_text(computed(config)).encode()).hexdigest()[:10]


def setting_identity(config: Mapping[str, Any]) -> str:
    """The identity of a run's config without its seed."""
    return identity({key: value for key, value in config.items() if key != "seed"})


def run_directory(config: Mapping[str, Any]) -> Path:
    """`<runs.root>/<data.name>_<norm.name>/seed<seed>-<identity>`; before it the task and `_`, if
    it is not the first.
    """
    arm = f"{config['data']['name']}_{config['norm']['name']}"
    if (task := config.get("task", {}).get("name", FIRST)) != FIRST:
        arm = f"{task}_{arm}"
    return Path(config["runs"]["root"]) / arm / f"seed{config['seed']}-{identity(config)}"


def computed(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without the `EXCLUDED` keys, and without those `ADDED` that have the old value."""
    later = [key for key, value in _leaves(config) if key in ADDED and _same(value, ADDED[key])]
    return _without(config, (*EXCLUDED, *later))


def _same(one: Any, other: Any) -> bool:
    return _text(one) == _text(other)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in `one`, value in `other`) where what is computed differs.

    A key that one of them lacks has the value "absent" there.
    """
    left, right = dict(_leaves(computed(one))), dict(_leaves(computed(other)))
    return [
        (key, left.get(key, "absent"), right.get(key, "absent"))
        for key in sorted(left.keys() | right.keys())
        if key not in left or key not in right or not _same(left[key], right[key])
    ]


def _without(config: Mapping[str, Any], excluded: Sequence[str]) -> dict[str, Any]:
    kept = {}
    for key, value in config.items():
        if key in excluded:
            continue
        below = [path.removeprefix(f"{key}.") for path in excluded if path.startswith(f"{key}.")]
        if not below or not isinstance(value, Mapping):
            kept[key] = value
        elif rest := _without(value, below):
            kept[key] = rest
    return kept


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    return json.dumps(_canonical(value, ""), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _canonical(value: Any, path: str) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            # YAML reads 1 and a sweep writes 1.0: the same number must find the same run.
            return int(value) if value.is_integer() else value
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise TypeError(f"config key {key!r} under {path or 'the root'} is no string")
            return {key: _canonical(below, f"{path}.{key}") for key, below in value.items()}
        case list() | tuple():
            return [_canonical(below, path) for below in value]
        case _:
            raise TypeError(f"{path.lstrip('.')} is a {type(value).__name__}, not a plain value")
