"""docs/explained.md: the checks and links that it names, the numbers it quotes, its pictures."""

import importlib
import re
import runpy
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explained.md"
TEXT = PAGE.read_text(encoding="utf-8")
CHECKS = Path(__file__).with_name("test_explained.py")
FINDINGS = pd.read_csv(ROOT / "results" / "mechanisms" / "findings.csv")


def test_every_answer_names_its_check_and_every_check_has_its_answer() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    here = set(re.findall(r"^def (test_\w+)", CHECKS.read_text(encoding="utf-8"), re.MULTILINE))
    assert here
    assert named == here
    for answer in TEXT.split("\n## ")[1:]:
        assert "`test_" in answer, answer.splitlines()[0]


def test_the_functions_that_it_names_exist() -> None:
    answers = re.findall(r"\bFunction:(.*?)Check", TEXT, re.DOTALL)
    assert len(answers) == TEXT.count("\n## ")
    for name in re.findall(r"`([\w.]+)`", " ".join(answers)):
        if name == "norms":  # of scripts/explained.py
            continue
        module, _, function = name.rpartition(".")
        assert hasattr(importlib.import_module(module or "wnrepro.equations"), function), name


def test_the_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", TEXT) + re.findall(r'src(?:set)?="([^"]+)"', TEXT)
    assert len(links) > 10
    for link in links:
        assert link.startswith("https://") or (PAGE.parent / link).exists(), link


def test_the_pictures_are_those_of_the_script(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "explained.py"))
    script["main"](["--to", str(tmp_path)])
    committed = PAGE.parent / "pictures"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in committed.iterdir()}
    for path in tmp_path.glob("*.svg"):
        assert f"pictures/{path.stem.removesuffix('-dark')}.png" in TEXT
        new, old = (
            [float(number) for number in re.findall(r"-?\d+\.\d+", each.read_text())]
            for each in (path, committed / path.name)
        )
        assert new == pytest.approx(old, abs=0.01)  # points


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ("M3", "|cos| between w and the dominant eigenvector of C while training"),
        ("M3", "largest eigenvalue over the mean one: D's divided by C's"),
        ("M3", "Hessian in w, after training: largest over mean absolute eigenvalue"),
        ("M3", "Hessian in (v, g), by wnrepro.nn, after training: largest over mean"),
        ("M2c", "over rates that span 3.0 decades"),
    ],
)
def test_the_page_quotes_what_was_measured(claim: str, what: str) -> None:
    rows = FINDINGS[(FINDINGS.id == claim) & FINDINGS.what.str.contains(what, regex=False)]
    (value,) = rows.value
    number = re.search(r"[\d.]+", value)
    assert number is not None
    assert number[0] in TEXT
