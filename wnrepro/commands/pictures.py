"""The pictures in a run's directory. One that cannot be drawn is a warning: the record is whole."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wnrepro.replacement import replace_file
from wnrepro.runs.directory import CURVES_FILE

if TYPE_CHECKING:
    from wnrepro.training import Training

log = logging.getLogger("wnrepro.train")


def curves(directory: Path) -> dict[str, Path]:
    """Draw `curves.png`; the file by its name."""
    from wnrepro.analysis.curves import draw_curves

    with _warning(CURVES_FILE):
        return {"curves": draw_curves(directory)}
    return {}


def of_task(training: "Training", directory: Path) -> dict[str, Path]:
    """Draw what the task has to show; the files by name."""
    drawn = {}
    with _warning("picture"):
        for name, images in training.pictures().items():
            from torchvision.utils import save_image

            content = io.BytesIO()
            # Seen beside black, beside white and beside the grey of DRAW's first glimpses.
            between = {"padding": 1, "pad_value": 0.75}
            save_image(images.flatten(0, 1), content, "png", nrow=images.shape[1], **between)
            drawn[name] = directory / f"{name}.png"
            replace_file(drawn[name], content.getvalue())
    return drawn


@contextmanager
def _warning(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.warning("no %s (%s: %s): the record is whole", what, type(error).__name__, error)
