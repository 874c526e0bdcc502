"""Pieces, tables, page and figures, with an experiment made up for the purpose."""

import dataclasses
import json
import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from wnrepro import drawing
from wnrepro.mechanisms import NAMES, load, page, pieces, tables, verdicts
from wnrepro.mechanisms.experiment import Experiment, Finding, Texts, Verdict, decide

PROVENANCE = {"commit": "0" * 40, "dirty": False, "torch": "2.15.0", "cpu": "a CPU"}


def draw(data):
    figure = Figure()
    figure.subplots().plot(data["toy"].seed, data["toy"].loss_nats)
    return figure


TOY = Experiment(
    "toy",
    Texts(
        title="A toy",
        source="nowhere",
        claim="One is one.",
        equation="$1 = 1$",
        setup="Nothing.",
        expectation="One.",
        reproduced_if="one.",
        not_reproduced_if="two.",
        caption="n = {{ seeds }}, {{ toy_more | length }} rows",
    ),
    parts=lambda smoke: [{"x": x} for x in range(1 if smoke else 3)],
    measure=lambda part: {
        "toy": [{"seed": part["x"], "loss_nats": 0.1 * part["x"], "rest": None}],
        "toy_more": [{"y": math.inf}],
    },
    verdict=lambda data: Verdict("inconclusive", "n | m", (Finding("a", "1", "", "3 seeds"),), 3),
    draw=draw,
)


@pytest.fixture(autouse=True)
def _toy_can_be_measured(monkeypatch):
    monkeypatch.setattr(pieces, "load", {"toy": TOY}.__getitem__)


@pytest.fixture
def toy(monkeypatch, script):
    monkeypatch.setattr(script, "load", {"toy": TOY}.__getitem__)
    monkeypatch.setattr(script, "NAMES", ("toy",))
    return script


def measured(work, experiment=TOY):
    found = pieces.pieces(experiment, False, work)
    for piece in found:
        if not piece.path.exists():
            piece.measure(PROVENANCE)
    return found


@pytest.fixture
def in_this_process(toy, monkeypatch):
    """The pieces that are measured, in order; without processes of their own."""
    done = []

    def run(todo, jobs, provenance):
        for piece in todo:
            piece.measure(provenance)
            done.append(piece.part["x"])
            yield piece, None

    monkeypatch.setattr(pieces, "run", run)
    return done


def test_every_listed_experiment_loads_and_has_distinct_pieces(tmp_path):
    for name in NAMES:
        experiment = load(name)
        for smoke in (True, False):
            paths = [piece.path for piece in pieces.pieces(experiment, smoke, tmp_path)]
            assert len({*paths}) == len(paths) > 0
        texts = dataclasses.asdict(experiment.texts)
        assert all(text for key, text in texts.items() if key not in ("afterwards", "caveat")), name
        assert experiment.texts.kind in ("finding", "identity")


def test_identity_is_of_name_version_and_every_parameter(tmp_path):
    same = pieces.identity(TOY, {"x": 1, "y": 2})
    assert same == pieces.identity(TOY, {"y": 2, "x": 1})
    others = [
        pieces.identity(TOY, {"x": 1, "y": 3}),
        pieces.identity(dataclasses.replace(TOY, version=2), {"x": 1, "y": 2}),
        pieces.identity(dataclasses.replace(TOY, name="other"), {"x": 1, "y": 2}),
    ]
    assert len({same, *others}) == 4


def test_a_repeated_command_does_what_is_missing(toy, in_this_process, tmp_path):
    command = ["--results", str(tmp_path)]
    assert toy.main(command) == 0
    assert in_this_process == [0, 1, 2]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert set(first) == {
        "toy.csv", "toy_more.csv", "toy.png", "toy.svg", "toy-dark.svg", "provenance.json",
        "README.md", "verdicts.csv", "findings.csv",
    }  # fmt: skip
    pieces.pieces(TOY, False, tmp_path / ".parts")[1].path.unlink()  # as if killed before it
    assert toy.main(command) == 0
    assert in_this_process == [0, 1, 2, 1]
    for name in ("toy.csv", "toy.png", "toy.svg"):
        assert (tmp_path / name).read_bytes() == first[name]


def test_figures_only_measures_nothing(toy, in_this_process, tmp_path, capsys):
    assert toy.main(["--figures-only", "--results", str(tmp_path)]) == 1
    assert "nothing to show" in capsys.readouterr().err
    measured(tmp_path / ".parts")
    tables.collect(TOY, pieces.pieces(TOY, False, tmp_path / ".parts"), tmp_path)
    assert toy.main(["--figures-only", "--results", str(tmp_path)]) == 0
    assert in_this_process == []
    assert (tmp_path / "toy.png").stat().st_size > 1000


def test_a_failed_piece_is_named_and_leaves_the_rest(toy, monkeypatch, tmp_path, capsys):
    def run(todo, jobs, provenance):
        for piece in todo:
            if piece.part["x"] == 1:
                yield piece, "ValueError: no"
            else:
                piece.measure(provenance)
                yield piece, None

    monkeypatch.setattr(pieces, "run", run)
    assert toy.main(["--results", str(tmp_path)]) == 1
    assert "'x': 1" in capsys.readouterr().err
    assert not (tmp_path / "toy.csv").exists()
    assert sum(piece.path.exists() for piece in pieces.pieces(TOY, False, tmp_path / ".parts")) == 2


def test_smoke_never_goes_into_results(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--smoke", "--results", "results/mechanisms"])
    with pytest.raises(SystemExit):
        script.main(["--smoke", "--results", "results/other"])
    assert script.SMOKE_RESULTS.parts[0] == "runs"
    with pytest.raises(SystemExit):
        script.main(["nonsense"])


def test_missing_stays_missing_and_numbers_come_back_exactly(tmp_path):
    tables.collect(TOY, measured(tmp_path / "work"), tmp_path)
    text = (tmp_path / "toy.csv").read_text()
    assert text == "seed,loss_nats,rest\n0,0.0,\n1,0.1,\n2,0.2,\n"
    data = tables.read("toy", tmp_path)
    assert TOY.caption(data) == "n = 3, 3 rows"
    assert data["toy"].rest.isna().all()
    assert list(data["toy"].loss_nats) == [0.0, 0.1, 0.2]
    assert math.isinf(data["toy_more"].y[0])
    assert tables.as_csv([{"a": 1}, {"b": 0.1 + 0.2}]) == "a,b\n1,\n,0.30000000000000004\n"


def test_tables_of_an_older_version_are_not_shown(tmp_path):
    tables.collect(TOY, measured(tmp_path / "work"), tmp_path)
    assert tables.exists(TOY, tmp_path)
    assert not tables.exists(dataclasses.replace(TOY, version=2), tmp_path)


def test_a_table_that_is_no_longer_measured_goes(tmp_path):
    work = tmp_path / "work"
    tables.collect(TOY, measured(work), tmp_path)
    lean = dataclasses.replace(
        TOY, version=2, measure=lambda part: {"toy": [{"seed": part["x"], "loss_nats": 1.0}]}
    )
    for piece in pieces.pieces(lean, False, work):
        record = {"part": dict(piece.part), "seconds": 1, "provenance": PROVENANCE}
        piece.path.write_text(json.dumps({**record, "tables": lean.measure(piece.part)}))
    tables.collect(lean, pieces.pieces(lean, False, work), tmp_path)
    assert not (tmp_path / "toy_more.csv").exists()


def test_the_page_says_everything(tmp_path):
    tables.collect(TOY, measured(tmp_path / "work"), tmp_path)
    texts = TOY.texts
    rest = dataclasses.replace(TOY, texts=dataclasses.replace(texts, title="Another"))
    origin = tables.provenance("toy", tmp_path)
    judged = [(TOY, verdicts.judged(1, TOY, TOY.verdicts({}), "n = 3", origin))]
    judged.append((rest, verdicts.judged(2, rest, [], "", {})))
    page.write(judged, tmp_path, "python x")
    text = (tmp_path / "README.md").read_text()
    for said in (
        texts.claim, texts.equation, texts.expectation, texts.reproduced_if, "Not run yet.",
        "toy.png", "toy-dark.svg",
        "*n = 3*", "Verdict: inconclusive", "3 seeds", "n \\| m", "torch 2.15.0", "a CPU",
        "0000000000", "python x", "toy_more.csv", "not tested",
    ):  # fmt: skip
        assert said in text, said


def test_an_identity_is_verified_and_stands_apart_from_what_could_have_come_out_otherwise(tmp_path):
    tables.collect(TOY, measured(tmp_path / "work"), tmp_path)
    exact = dataclasses.replace(TOY.texts, kind="identity", caveat="Tuned again.")
    judged = []
    for number, (texts, outcomes) in enumerate(
        ((TOY.texts, ("reproduced", "not reproduced")), (exact, ("reproduced",))), 1
    ):
        experiment = dataclasses.replace(TOY, texts=texts)
        found = [Verdict(each, "so", (), 3, f"part {each}") for each in outcomes]
        judged.append((experiment, verdicts.judged(number, experiment, found, "", {"sources": []})))
    rows = [row for _, own in judged for row in own]
    assert [row.id for row in rows] == ["M1a", "M1b", "M2"]
    origin = {"core_seconds": 1, "sources": [], "pieces": 0}
    (tmp_path / "provenance.json").write_text(json.dumps({"toy": origin}))
    page.write(judged, tmp_path, "python x")
    text = (tmp_path / "README.md").read_text()
    findings, identities = text.split("| | identity |")
    assert "| M1a | A toy: part reproduced | **reproduced** | so |" in findings
    assert "| M1b | A toy: part not reproduced | **not reproduced** | so |" in findings
    assert "| M2 | A toy: part reproduced | **verified** | so Tuned again. |" in identities
    assert "**To be known.** Tuned again." in identities


def test_figures_are_the_same_bytes_each_time(tmp_path):
    data = {"toy": pd.DataFrame({"seed": [1, 2], "loss_nats": [0.5, 0.25]})}
    for name in ("one", "two"):
        drawing.save(lambda: draw(data), tmp_path / name)
    for form in ("png", "svg"):
        one, two = ((tmp_path / f"{name}.{form}").read_bytes() for name in ("one", "two"))
        assert one == two


@pytest.mark.parametrize(
    ("seeds", "yes", "no", "outcome"),
    [
        (3, True, False, "reproduced"),
        (3, False, True, "not reproduced"),
        (3, False, False, "inconclusive"),
        (2, True, False, "inconclusive"),
        (2, False, True, "inconclusive"),
        (5, True, True, "inconclusive"),
    ],
)
def test_no_verdict_below_three_seeds(seeds, yes, no, outcome):
    assert decide(seeds, reproduced=yes, not_reproduced=no) == outcome


def smaller(part):
    """Than the smoke version, which is for a command."""
    narrow = {"covariance": {"width": 6}, "hessian": {"width": 2}}.get(part.get("kind"), {})
    return {**part, **narrow, **({"batches": 50} if "batches" in part else {})}


@pytest.mark.parametrize("name", NAMES)
def test_smoke_size_from_the_measurement_to_the_page(name, tmp_path, monkeypatch):
    """Everything but the processes; two seeds, and hence no verdict."""
    whole = load(name)
    experiment = dataclasses.replace(
        whole, parts=lambda smoke: [smaller(part) for part in whole.parts(smoke)]
    )
    monkeypatch.setattr(pieces, "load", load)
    found = pieces.pieces(experiment, True, tmp_path / "work")
    for piece in found:
        piece.measure(PROVENANCE)
    tables.collect(experiment, found, tmp_path)
    data = tables.read(name, tmp_path)
    judged = experiment.verdicts(data)
    assert {verdict.outcome for verdict in judged} == {"inconclusive"}
    drawing.save(lambda: experiment.draw(data), tmp_path / name, ("png",))
    caption = experiment.caption(data)
    assert "2 seeds" in caption or "n = 2" in caption
    rows = verdicts.judged(1, experiment, judged, caption, tables.provenance(name, tmp_path))
    page.write([(experiment, rows)], tmp_path, "command")
    page_text = (tmp_path / "README.md").read_text()
    assert page_text.count(": inconclusive.**") == len(rows)


def test_two_processes_do_a_real_experiment_and_a_killed_one_goes_on(script, tmp_path):
    """The whole command, smoke size, one experiment; then again with one piece missing."""
    command = ["mean_noise", "--smoke", "--results", str(tmp_path), "--jobs", "2"]
    assert script.main(command) == 0
    before = (tmp_path / "mean_noise.csv").read_bytes()
    files = sorted((tmp_path / ".parts" / "mean_noise").iterdir())
    files[0].unlink()
    kept = files[1].stat().st_mtime_ns
    assert script.main(command) == 0
    assert (tmp_path / "mean_noise.csv").read_bytes() == before
    assert files[1].stat().st_mtime_ns == kept
    assert files[0].exists()
