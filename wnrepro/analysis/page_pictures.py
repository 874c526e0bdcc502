"""Figures as they stand in the page: whole files in data URIs, for light and for dark screens."""

import base64
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_DARK = "-dark"


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
    content = base64.b64encode(smallest.read_bytes()).decode()
    return f"data:{_TYPES[smallest.suffix]};base64,{content}"
