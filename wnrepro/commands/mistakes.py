"""What Hydra cannot compose, in one line: the key, what it got, what is allowed.

Hydra words its errors over several lines, for those who write configs, and meets some command
lines with an assertion.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    Override,
    OverrideType,
    QuotedString,
)
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError
from yaml import MarkedYAMLError

from wnrepro.errors import ConfigError, did_you_mean
from wnrepro.resolution import unknown_key

HEEDED = ("hydra/launcher", "hydra.launcher", "hydra.searchpath")
"""Hydra's own keys that mean something here."""

IN_FILE = re.compile(r"In '(.+?)': (\w+) raised while composing config:\n(.*)\n +full_key: (\S+)")
"""What Hydra says of a mistake in one of the YAML files."""


def refuse_unreadable(texts: Sequence[str]) -> None:
    """Raise ConfigError for what is no override at all."""
    for text in texts:
        try:
            os.fsencode(text).decode()
        except UnicodeError:
            raise ConfigError(f"cannot read {text!r}: this is no text in UTF-8") from None
        key, equals, value = text.lstrip("+").partition("=")
        if equals and not key:
            raise ConfigError(f"cannot read {text!r}: write overrides as key=value")
        if key.startswith("hydra.sweeper.params."):
            key = key.removeprefix("hydra.sweeper.params.")
            raise ConfigError(f"cannot read {text!r}: write {key}={value}")


def refuse_unheeded(override: Override, names: Sequence[str] | None) -> None:
    """Raise ConfigError for what Hydra takes and no run heeds, and for a file without a name.

    names: of the files that the override's key chooses from; None where it chooses none.
    """
    text, key = override.input_line, override.key_or_group
    if key == "hydra" or override.is_hydra_override():
        if key not in HEEDED and not key.startswith("hydra.launcher."):
            raise ConfigError(
                f"{text} would change nothing: of Hydra's own keys only "
                "hydra/launcher, hydra.launcher.… and hydra.searchpath are heeded"
            )
        if (
            override.type != OverrideType.CHANGE
            and key != "hydra.searchpath"
            and key.count(".") < 3
        ):
            # Hydra would take a key that no launcher has.
            raise ConfigError(f"{text}: write {key}=…, without a plus sign or a tilde")
        if key == "hydra.launcher" and not isinstance(override.value(), dict):
            raise ConfigError(f"{text}: write hydra/launcher=NAME, or hydra.launcher.KEY=VALUE")
        if override.is_sweep_override():
            raise ConfigError(f"{text}: all runs of a sweep share one {key}")
    if names is not None and not override.is_delete() and not all(_is_name(override)):
        raise ConfigError(f"{text}: {key} takes a name; choose from {', '.join(names)}")


def folders_of(override: Override) -> list[Path]:
    """Those that `hydra.searchpath` names; raises ConfigError."""
    value = override.value()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{override.input_line}: write a list of folders, or --config-dir=DIR")
    folders = [Path(str(each).removeprefix("file://")) for each in value]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: there is no such folder of YAML files")
    return folders


def _is_name(override: Override) -> Iterator[bool]:
    value = override.value()
    for each in value.list if isinstance(value, ChoiceSweep) else [value]:
        # A dict sets keys of what is chosen.
        yield bool(each) and isinstance(each, str | QuotedString | Glob | dict)


def explain(error: Exception, folders: Sequence[Path]) -> str:
    """One line about what could not be composed. folders: conf/, then those of one's own."""
    cause = error.__cause__
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, got = (error.missing_cfg_file or "").rpartition("/")
        close = did_you_mean(got, error.options)
        return f"{group}={got} is unknown{close}; choose from {', '.join(error.options)}"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: no valid YAML ({error.problem})"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return unknown_key(str(cause.full_key), cause.object_type)
    if isinstance(cause, ValidationError):
        return _wrong_type(str(cause.full_key), str(cause))
    if in_file := IN_FILE.match(text):
        file, kind, reason, key = in_file.groups()
        said = _wrong_type(key, reason) if kind == "ValidationError" else unknown_key(key)
        return f"{_path(file, folders)}: {said}"
    if "No match in the defaults list" in text:
        group = text.split("'")[1]
        return f"{group} is added with a plus sign: write +{group}=… instead of {group}=…"
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override), text.splitlines()[0])
    if isinstance(error, RecursionError):
        return "a value refers to itself, or is nested too deep"
    said = " ".join(text.split()) or type(error).__name__
    return said + (f" ({str(cause).splitlines()[0]})" if cause and str(cause) else "")


def _path(file: str, folders: Sequence[Path]) -> str:
    """Of a YAML file that Hydra names without its folder."""
    for folder in folders[1:]:
        if (path := folder / f"{file}.yaml").exists():
            return str(path)
    return f"conf/{file}.yaml"


def _unreadable(override: str, reason: str) -> str:
    key, _, value = override.partition("=")
    if not value or value[0] in "=[{" or not value.isprintable():
        return f"cannot read {override!r}: write overrides as key=value ({reason})"
    quoted = value.strip('"').replace('"', '\\"')
    example = shlex.quote(f'{key}="{quoted}"')
    return f"cannot read {override!r}: quote its value, as {example}"


def _wrong_type(key: str, reason: str) -> str:
    first = reason.splitlines()[0]
    return f"{key} has the wrong type: {first[0].lower()}{first[1:]}"
