"""Tables as words: what is missing stays missing, and LaTeX compiles."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from wnrepro.analysis.exhibit import Cells, Table, listed, number, with_interval
from wnrepro.analysis.publication import latex, markdown, tex, write_table
from wnrepro.intervals import t_interval

ODD = r"50 % of a_b & c#1 {x} $5 ~ ^ \ < > ≤ ± − – × ‖v‖ β1 ε …"
WORDS = pd.DataFrame({"arm": ["plain", "a | b"], "test error (%)": ["8.43", ODD]})


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("5 %", r"5 \%"),
        ("a_b & c", r"a\_b \& c"),
        ("8.5 ± 0.1", r"8.5 $\pm$ 0.1"),
        ("−0.35 – x", "$-$0.35 -- x"),
        ("\\", r"\textbackslash{}"),
        ("{~^}", r"\{\textasciitilde{}\textasciicircum{}\}"),
        ("plain", "plain"),
    ],
)
def test_tex_escapes(text: str, escaped: str) -> None:
    assert tex(text) == escaped


def test_latex_has_no_special_character_left() -> None:
    text = latex(WORDS, f"Caption: {ODD}", ODD, "odd")
    body = text[text.index(r"\caption") :]
    assert body.isascii()
    assert not re.search(r"(?<!\\)[%#]", body)
    for line in (line for line in text.splitlines() if line.endswith(r"\\")):
        assert len(re.findall(r"(?<!\\)&", line)) == 1  # two columns
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    math_marks = re.findall(r"(?<!\\)\$", body)
    assert len(math_marks) % 2 == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    document = (
        r"\documentclass{article}\usepackage{booktabs,siunitx}\begin{document}"
        f"{latex(WORDS, ODD, ODD, 'odd')}" + r"\end{document}"
    )
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_markdown_has_one_cell_per_column() -> None:
    lines = markdown(WORDS).splitlines()
    assert lines[0] == "| arm | test error (%) |"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}


def test_csv_has_all_digits_and_an_empty_cell_where_a_number_is_missing(tmp_path: Path) -> None:
    values = pd.DataFrame({"arm": ["plain", "b"], "error": [8.43123456789, math.nan]})
    table = Table(name="t", title="Title", evidence=(), rows=lambda records, paper: iter(()))
    write_table(table, Cells(WORDS, values), "A note.", tmp_path)
    assert (tmp_path / "tables" / "t.csv").read_text() == "arm,error\nplain,8.43123456789\nb,\n"
    assert (tmp_path / "tables" / "t.md").read_text().endswith("|\n\nTitle. A note.\n")


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_missing_is_a_dash_and_never_0(value: float | None) -> None:
    assert number(value) == "–"


def test_words_of_numbers() -> None:
    assert number(0.0) == "0.00"
    assert number(-1.236) == "−1.24"
    assert listed([1.0, math.nan, 2.345]) == "1.00, diverged, 2.35"  # 2.345 is above its half
    assert listed([]) == "–"
    assert with_interval(None) == "–"
    assert with_interval(t_interval([3.0])) == "3.00"  # one value has no interval
    assert with_interval(t_interval([1.0, 2.0, 3.0])) == "2.00 [−0.48, 4.48]"
    assert with_interval(t_interval([1.0, 2.0, 3.0]), n=3) == "2.00 [−0.48, 4.48]"
    assert with_interval(t_interval([1.0, 2.0, 3.0]), n=4) == "2.00 [−0.48, 4.48] (3 pairs)"
