"""The page holds what the files say, as text, and needs no other file."""

import re
import shutil
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from wnrepro.analysis import page
from wnrepro.analysis.claims.criteria import CLAIMS
from wnrepro.analysis.claims.judgement import VERDICT, Row, all_rows
from wnrepro.analysis.exhibit import Cells
from wnrepro.analysis.records import Records, load

RESULTS = Path(__file__).resolve().parents[2] / "results"
CSS = Path(page.__file__).with_name("templates") / "page.css"
PIXEL = b"<svg xmlns='http://www.w3.org/2000/svg' width='7' height='5'/>"
EVIL = "<img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """All elements with their attributes, and all text outside of script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def records() -> Records:
    return load(RESULTS)


@pytest.fixture
def results(tmp_path: Path, records: Records) -> Path:
    """A folder with the mechanism experiments and two figures; the page has a table, too."""
    shutil.copytree(RESULTS / "mechanisms", tmp_path / "mechanisms")
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("mnist_arms_errors", "mnist_arms_errors-dark", "norm_growth"):
        (figures / f"{name}.svg").write_bytes(PIXEL)
    return tmp_path


@pytest.fixture(scope="module")
def rows(records: Records) -> list[Row]:
    return all_rows(records, RESULTS)


def written(results: Path, records: Records, rows: list[Row]) -> str:
    words = pd.DataFrame({"arm": ["plain", EVIL], "error": ["1.59 [1.44, 1.74]", ""]})
    tables = {"mnist_arms_errors": Cells(words, words)} if (results / "figures").exists() else {}
    page.write(results, records, rows, tables)
    return (results / page.PAGE).read_text()


def test_it_holds_verdicts_tables_figures_and_runs(
    results: Path, records: Records, rows: list[Row]
):
    elements = Elements(written(results, records, rows))
    for row in rows:
        if row.role == VERDICT:
            assert row.claim in elements.text
            assert row.criterion in elements.text
    assert "1.59 [1.44, 1.74]" in elements.text
    assert "n = 5 seeds." in elements.text
    assert len(page.run_table(records)) == len(records.runs)
    for identity in records.runs.index:
        assert identity in elements.text
    assert len(elements.of("img")) == 2 + 7
    assert len(elements.of("source")) == 1 + 7  # for dark pages


def test_it_needs_no_other_file(results: Path, records: Records, rows: list[Row]):
    elements = Elements(written(results, records, rows))
    addresses = [
        value or ""
        for _, attributes in elements.found
        for key, value in attributes.items()
        if key in ("src", "srcset", "href", "action", "data", "poster")
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not elements.of("iframe") + elements.of("object") + elements.of("embed")
    assert "@import" not in CSS.read_text()
    assert "url(" not in CSS.read_text()


def test_equal_files_give_equal_bytes_of_a_few_megabytes(
    results: Path, records: Records, rows: list[Row]
):
    first = written(results, records, rows)
    assert written(results, records, rows) == first
    assert len(first) < 6e6


def test_text_from_the_files_stays_text(results: Path, records: Records, rows: list[Row]):
    columns = dict.fromkeys(("cpu", "commit", "data", "optimizer", "status"), EVIL)
    evil = replace(records, runs=records.runs.assign(**columns, gpu=None))
    rows = [
        Row(**{key: text.replace("Weight norm", EVIL) for key, text in asdict(row).items()})
        for row in rows
    ]
    path = results / "mechanisms" / "verdicts.csv"
    path.write_text(path.read_text().replace("Lines: ", EVIL))
    html = written(results, evil, rows)
    assert EVIL not in html
    elements = Elements(html)
    assert elements.text.count(EVIL) > 4 * len(records.runs)
    assert len(elements.of("script")) == 1
    assert not [a for _, a in elements.found if any(key.startswith("on") for key in a)]


def test_what_is_missing_is_named_with_its_command(
    results: Path, records: Records, rows: list[Row]
):
    none = records.of(records.runs.index[:0])
    html = written(results, none, all_rows(none, results))
    missing = html[html.index('<section id="missing"') : html.index('<section id="tables"')]
    for command in ("cifar_table1", "cifar_small", "mnist_arms", "mnist_lr_robustness"):
        assert f"python -m wnrepro.train -m +sweep={command}" in missing
    assert "claim 4d" in missing
    assert f'<b>{len(CLAIMS)}</b> <span class="verdict not-tested">' in html


def test_nothing_but_claims(tmp_path: Path, records: Records):
    html = written(tmp_path, records, all_rows(records, tmp_path))
    assert html.count("<p>None yet.</p>") == 2
    assert "<code>python scripts/mechanisms.py</code>" in html


def test_of_svg_and_png_the_smaller_is_taken(tmp_path: Path):
    (tmp_path / "a.svg").write_bytes(PIXEL)
    (tmp_path / "a.png").write_bytes(PIXEL[:-9])
    (tmp_path / "a-dark.svg").write_bytes(PIXEL)
    (found,) = page.picture(tmp_path, "a", "title", "caption")
    assert found.light.startswith("data:image/png;base64,")
    head, _, content = (found.dark or "").partition(";base64,")
    assert (head, b64decode(content)) == ("data:image/svg+xml", PIXEL)
    assert not list(page.picture(tmp_path, "b", "title", "caption"))


def test_headings_tables_pictures_and_ids_are_in_order(
    results: Path, records: Records, rows: list[Row]
):
    elements = Elements(written(results, records, rows))
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(elements.of("caption")) == len(elements.of("table"))
    assert all(image["alt"] for image in elements.of("img"))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in elements.of("a")} <= {f"#{id_}" for id_ in ids}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_stands_out_from_the_ground(mode: str):
    """WCAG 2.2, level AA: a contrast of 4.5 at least."""
    colours = dict(colours_of(mode))
    for ground in ("ground", "raised"):
        for ink in ("ink", "soft", "link", "yes", "no"):
            light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (mode, ink, ground)


def colours_of(mode: str) -> Iterator[tuple[str, str]]:
    blocks = CSS.read_text().split(":root {")
    block = blocks[1 if mode == "light" else 2].split("}")[0]
    yield from re.findall(r"--(\w+): (#[0-9a-f]{6});", block)


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
