"""wandb's service process, and whether the user lets it go online."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

NOT_LOGGED_IN = ": not logged in, so offline"


_OF_ANOTHER_RUN = (
    *("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_LAUNCH", "WANDB_RUN_ID", "WANDB_RESUME"),
)
"""Variables that would give a run another id than that of its identity, by which it is resumed."""


def mode() -> tuple[str, str]:
    """`online`, `offline` or `disabled`, and why; raises ValueError.

    What the user set ($WANDB_MODE, $WANDB_DISABLED, `wandb offline`) counts, but nobody is asked to
    log in.
    """
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        # wandb does not take an empty variable for one that is not set.
        if not os.environ[name] or name in _OF_ANOTHER_RUN:
            del os.environ[name]
    # Reports of wandb on itself, which hold up the process at its end where no server answers.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if (disabled := os.environ.get("WANDB_DISABLED", "")).lower() in ("1", "true", "yes", "on"):
        return "disabled", f": off, as $WANDB_DISABLED={disabled} says"
    named = os.environ.get("WANDB_MODE")
    if named not in (None, "online", "run", "offline", "dryrun", "disabled"):
        raise ValueError(f"$WANDB_MODE is {named!r}: choose from online, offline, disabled")
    import wandb

    _have_cache()
    chosen = wandb.setup(wandb.Settings(silent=True)).settings.mode
    source = f"$WANDB_MODE={named}" if named else "mode of your W&B settings"
    if chosen == "disabled":
        return "disabled", f": off, as {source} says"
    if chosen in ("offline", "dryrun"):
        return "offline", f": offline, as {source} says"
    try:
        logged_in = wandb.login(prompt=False, verify=False)
    except Exception as error:  # a key that cannot be one
        return "offline", f"{NOT_LOGGED_IN} ({reason(error).rstrip('.')})"
    return ("online", "") if logged_in else ("offline", NOT_LOGGED_IN)


def project(named: str | None) -> str:
    """The W&B project: as named, else as $WANDB_PROJECT says, else `wnrepro`."""
    return named or os.environ.get("WANDB_PROJECT") or "wnrepro"


def _have_cache() -> None:
    """Where the home cannot be written, wandb's service logs to stderr: 17 lines for each run."""
    from wandb.env import get_cache_dir

    folder = get_cache_dir()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        os.environ["WANDB_CACHE_DIR"] = f"{tempfile.gettempdir()}/wandb-{os.getuid()}"


@contextlib.contextmanager
def hooks_of_this_process() -> Iterator[None]:
    """wandb replaces sys.exit and sys.excepthook, once more with each service: put them back."""
    before = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = before


def kill() -> None:
    """Kill wandb's service process, so that whatever waits for it fails instead of waiting.

    There is no public way; where a version of wandb keeps it elsewhere, nothing is killed.
    """
    setup = sys.modules.get("wandb.sdk.wandb_setup")
    connection = getattr(getattr(setup, "_singleton", None), "_connection", None)
    process = getattr(getattr(connection, "_proc", None), "_process", None)
    if process is not None:
        process.kill()
        process.wait(10)


def tear_down() -> None:
    """End wandb's service process and forget its state: the next run in this process starts anew.

    So it does not remain to be done by wandb's hooks at exit, which wait without limit.
    """
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        with contextlib.suppress(Exception, SystemExit):  # of a service that is dead
            wandb.teardown()


def reason(error: BaseException) -> str:
    """The first line of what the error says, or its type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
