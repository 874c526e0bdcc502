"""From the overrides of a command line to checked configs, one for each run.

Hydra composes them. Whatever a line means to it for one run it means here in a sweep too.
"""

import copy
import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from wnrepro.commands import mistakes
from wnrepro.config import Config, as_dict
from wnrepro.errors import ConfigError
from wnrepro.resolution import register_schema, resolve
from wnrepro.runs.identity import identity, run_directory

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(p for p in (PACKAGE.parent / "conf", PACKAGE / "conf") if p.is_dir())
"""The folder of YAML files: beside the package in a checkout, inside it in a wheel."""

MOST_RUNS = 10_000
"""Of one sweep; a range with a wrong end has more."""

_LAUNCHER = ("hydra/launcher", "hydra.launcher")


@dataclass(frozen=True)
class Sweep:
    """What a command line with -m asks for.

    launcher, settings: its name and its keys. replaced: a line for each loop of a file in
    conf/sweep/ that the command line gives other values.
    """

    configs: list[Config]
    launcher: str
    settings: dict[str, Any]
    replaced: list[str]

    @property
    def identities(self) -> list[str]:
        return [identity(as_dict(config)) for config in self.configs]


def experiments(folders: Sequence[Path] = ()) -> list[str]:
    """The names in exp/ of conf/ and of more such folders; each goes with each arm."""
    paths = [path for folder in (CONF, *folders) for path in (folder / "exp").glob("*.yaml")]
    return sorted(path.stem for path in paths)


def compose_one(overrides: Sequence[str]) -> Config:
    """The config of one run, composed and checked; raises ConfigError, for a sweep too."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        composer = _Composer(overrides)
        for each in composer.command:
            text, key = each.input_line, each.key_or_group
            if key == "sweep" or key.startswith(_LAUNCHER):
                raise ConfigError(f"{text} is for a sweep of many runs: add -m")
            if each.is_sweep_override():
                raise ConfigError(f"{text}: add -m (a sweep), or quote a value that has commas")
        cfg = composer.compose(composer.command)
        if cfg.hydra.sweeper.params or cfg.hydra.runtime.choices["hydra/launcher"] != "local":
            raise ConfigError("a file that is named describes a sweep of many runs: add -m")
        HydraConfig.instance().set_config(cfg)  # for ${hydra:…}
        return resolve(_without_hydra(cfg))


def expand(overrides: Sequence[str]) -> Sweep:
    """Every config of a sweep, composed and checked; raises ConfigError.

    overrides: as on the command line, `norm=wn,plain seed=range(3)` included; those of
    `hydra.sweeper.params` (conf/sweep/) come first, but for what the command line sets anew.
    """
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        sweep = _Composer(overrides).sweep()
    seen = Counter(run_directory(as_dict(config)) for config in sweep.configs)
    directory, times = seen.most_common(1)[0]
    if times > 1:  # they would wait for one another
        raise ConfigError(f"the sweep has the run {directory} {times} times")
    return sweep


class _Composer:
    """Composes the runs of one command line.

    Hydra composes the chosen files and sets single values in the result last of all. So what is
    composed is shared by the runs that make the same choices: 0.1 s for each arm and not for each
    seed and learning rate of it.
    """

    def __init__(self, overrides: Sequence[str]) -> None:
        self.folders = [CONF]
        self._split: dict[str, list[Override]] = {}
        self._shared: dict[tuple[tuple[str | None, ...], ...], DictConfig] = {}
        self._launchers: set[tuple[str, str]] = set()
        mistakes.refuse_unreadable(overrides)
        self.command = self._parse(overrides)
        for each in self.command:
            if each.key_or_group == "hydra.searchpath":
                self.folders += mistakes.folders_of(each)
        for each in self.command:
            mistakes.refuse_unheeded(each, self._names(each.key_or_group))
        register_schema(experiments(self.folders[1:]))

    def compose(self, run: Sequence[Override]) -> DictConfig:
        """As Hydra does it; its own keys included. Not to be changed: others may be given it."""
        compose = _composed if self.folders == [CONF] else _composed.__wrapped__
        try:
            return compose(tuple(str(each.input_line) for each in run))
        except Exception as error:  # whatever it is, this line cannot be composed
            raise ConfigError(mistakes.explain(error, self.folders)) from error

    def sweep(self) -> Sweep:
        fixed = [e for e in self.command if self._shapes(e) and not e.is_sweep_override()]
        fixed = [e for e in fixed if not e.key_or_group.startswith("hydra.launcher")]
        params = self.compose(fixed).hydra.sweeper.params or {}
        file = self._parse([f"{k}={'null' if v is None else v}" for k, v in params.items()])
        for each in file:
            mistakes.refuse_unheeded(each, self._names(each.key_or_group))
        runs, replaced = self._runs(file)
        if not runs:
            raise ConfigError("the sweep has no runs: a list or a range of it is empty")
        for each in self.command:  # a mistake stays one where a later value replaces it
            if each not in self._kept:
                for value in self._values(each):
                    self.compose([value, *runs[0]])
        first = self.compose([each for each in runs[0] if self._shapes(each)])
        HydraConfig.instance().set_config(first)  # for ${hydra:…}
        configs = [self._config(run) for run in runs]
        if len(self._launchers) > 1:
            raise ConfigError("the runs of one sweep name several launchers: add hydra/launcher=…")
        ((launcher, _),) = self._launchers
        try:
            settings: Any = OmegaConf.to_container(first.hydra.launcher, resolve=True)
        except OmegaConfBaseException as error:
            raise ConfigError(mistakes.explain(error, self.folders)) from error
        return Sweep(configs, launcher, settings, replaced)

    def _runs(self, file: Sequence[Override]) -> tuple[list[list[Override]], list[str]]:
        """The overrides of each run, in the order of the loops; and the loops that are replaced.

        What the command line gives to a loop of the file leaves it at its place. For a choice of
        files that is also its place in the composition: a sweep's keys hold for +exp of either.
        """
        command = self._kept
        loops, first, replaced = [], [], []
        for each in file:
            new = next((e for e in command if self._replaces(e, each)), None)
            loops.append(new or each)
            if new is None or self._chooses(new):
                first.append(new or each)
            if new is not None and each.is_sweep_override():
                replaced.append(f"{new.input_line} in place of the sweep's {each.input_line}")
        loops += [each for each in command if each not in loops]
        values = [self._values(each) for each in loops]
        if math.prod(map(len, values)) > MOST_RUNS:
            raise ConfigError(f"the sweep has more than {MOST_RUNS} runs: is a range too long?")
        last = [each for each in command if each not in first]
        order = [loops.index(each) for each in (*first, *last)]
        return [[run[k] for k in order] for run in itertools.product(*values)], replaced

    @functools.cached_property
    def _kept(self) -> list[Override]:
        """The command line without what a later part of it replaces."""
        return [
            each
            for k, each in enumerate(self.command)
            if each.is_add() or not any(self._replaces(e, each) for e in self.command[k + 1 :])
        ]

    def _replaces(self, new: Override, old: Override) -> bool:
        """Whether `new`, which comes later, sets all that `old` sets."""
        return (
            new.get_key_element() == old.get_key_element()
            and not new.is_delete()
            and self._chooses(new) == self._chooses(old)
            and not any(isinstance(each.value(), dict) for each in self._values(new))
        )

    def _values(self, override: Override) -> list[Override]:
        """One override for each of its values."""
        if not override.is_sweep_override():
            return [override]
        text = str(override.input_line)
        if text not in self._split:
            if not override.is_discrete_sweep():
                raise ConfigError(f"cannot read {text!r}: a sweep takes lists and ranges")
            try:
                values = list(itertools.islice(self._strings(override), MOST_RUNS + 1))
            except (ArithmeticError, ValueError, TypeError) as error:
                raise ConfigError(f"cannot read {text!r}: {error}") from error
            if len(values) > MOST_RUNS:
                raise ConfigError(f"{text} has more than {MOST_RUNS} values")
            self._split[text] = self._parse([f"{override.get_key_element()}={v}" for v in values])
        return self._split[text]

    def _strings(self, override: Override) -> Any:
        value = override.value()
        if not isinstance(value, Glob):
            return override.sweep_string_iterator()
        path = [str(e.input_line) for e in self.command if e.key_or_group == "hydra.searchpath"]
        loader = GlobalHydra.instance().config_loader()
        group = override.key_or_group
        return iter(
            value.filter(loader.get_group_options(group, ObjectType.CONFIG, "config", path))
        )

    def _config(self, run: Sequence[Override]) -> Config:
        """As `compose`, resolved; quick where only values differ."""
        choices = [each for each in run if self._shapes(each)]
        values = [each for each in run if not self._shapes(each)]
        # Runs that set the same keys share one config: each sets all that the one before has set.
        key = tuple(str(each.input_line) for each in choices), tuple(map(_plain_key, values))
        if key not in self._shared:
            composed = self.compose(choices)
            settings = OmegaConf.to_yaml(composed.hydra.launcher)
            self._launchers.add((composed.hydra.runtime.choices["hydra/launcher"], settings))
            self._shared[key] = _without_hydra(composed)
        if None not in key[1]:
            cfg = self._shared[key]
            try:
                for each in values:
                    OmegaConf.update(cfg, each.key_or_group, each.value())
            except OmegaConfBaseException:
                pass  # Hydra's own error names the key
            else:
                return resolve(cfg)
        return resolve(_without_hydra(self.compose(run)))

    def _chooses(self, override: Override) -> bool:
        """Whether it chooses files, as `norm=wn` and `+exp=mnist_wn`; else it sets a value."""
        return self._names(override.key_or_group) is not None and not any(
            isinstance(each.value(), dict) for each in self._values(override)
        )

    def _shapes(self, override: Override) -> bool:
        """Whether it has a say in which files are composed."""
        return override.is_hydra_override() or self._chooses(override)

    def _names(self, group: str) -> list[str] | None:
        """The files of a group; None where it is none."""
        found = [each / group for each in self.folders if (each / group).is_dir()]
        return sorted({p.stem for f in found for p in f.glob("*.yaml")}) if found else None

    def _parse(self, texts: Sequence[str]) -> list[Override]:
        try:
            return OverridesParser.create().parse_overrides(list(texts))
        except Exception as error:
            raise ConfigError(mistakes.explain(error, self.folders)) from error


@functools.lru_cache(maxsize=256)
def _composed(texts: tuple[str, ...]) -> DictConfig:
    """Kept, as a process may ask for one sweep several times and Hydra takes 0.2 s."""
    return hydra.compose("config", list(texts), return_hydra_config=True)


def _plain_key(override: Override) -> str | None:
    """The key that it sets to one value, whatever stood there; None if it does more."""
    plain = override.type == OverrideType.CHANGE and override.package is None
    return override.key_or_group if plain and not isinstance(override.value(), dict) else None


def _without_hydra(cfg: DictConfig) -> DictConfig:
    cfg = copy.deepcopy(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg
