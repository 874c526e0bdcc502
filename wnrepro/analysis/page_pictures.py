"""Figures as they stand in the page: whole files in data URIs, for light and for dark screens."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_DARK = "-dark"
_BEYOND_THOUSANDTHS = re.compile(r"(\d\.\d{3})\d+")


@dataclass(frozen=True)
class Picture:
    """light, dark: data URIs; without a dark one the light picture stands on a light ground."""

    name: str
    title: str
    caption: str
    light: str
    dark: str | None


def picture(folder: Path, name: str, title: str, caption: str) -> Picture | None:
    """The figure `name` of `folder`; None if there is none."""
    light = _data_uri(folder, name)
    if light is None:
        return None
    return Picture(name, title, caption, light, _data_uri(folder, name + _DARK))


def _data_uri(folder: Path, stem: str) -> str | None:
    """Of SVG and PNG the smaller one: both are sharp enough, and the page travels as one file."""
    files = [path for end in _TYPES if (path := folder / f"{stem}{end}").exists()]
    if not files:
        return None
    smallest = min(files, key=lambda path: path.stat().st_size)
    content = smallest.read_bytes()
    if smallest.suffix == ".svg":
        # A thousandth of a point cannot be seen, and a sixth of the page is beyond it.
        text = _BEYOND_THOUSANDTHS.sub(r"\1", content.decode())
        content = " ".join(text.split()).encode()
    return f"data:{_TYPES[smallest.suffix]};base64,{base64.b64encode(content).decode()}"
