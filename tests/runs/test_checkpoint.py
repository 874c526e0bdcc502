"""What is loaded is what was saved, or the damage is noticed and said."""

import errno
import logging
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from wnrepro.errors import RunError
from wnrepro.runs.checkpoint import (
    CHECKPOINT_FILE,
    PREVIOUS_FILE,
    DamagedCheckpoint,
    checksum,
    load,
    load_latest,
    save,
    save_generation,
)

CONFIG = {"norm": {"name": "wn"}, "seed": 0, "threads": 1}


def example(epoch: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(epoch)
    return {
        "model": {
            "v": torch.randn(3, 4, generator=generator),
            "half": torch.randn(5, generator=generator).bfloat16(),
            "none": torch.zeros(0, 3),
            "scalar": torch.tensor(-0.0, dtype=torch.float64),
            "flags": torch.tensor([True, False]),
            "complex": torch.ones(2, dtype=torch.complex64),
        },
        "optimizer": {"state": {0: {"step": 3, "m": torch.ones(2)}}, "groups": [{"lr": 0.1}]},
        "generator": generator.get_state(),
        "rows": [{"epoch": 1, "loss": float("nan"), "test": None}],
        "betas": (0.9, True),
        "config": CONFIG,
        "epoch": epoch,
    }


RECORD = {"training": {}, "metrics": [], "timing": []}
"""What the state of a run has besides its config."""


def test_round_trip_is_exact(tmp_path: Path) -> None:
    state = example()
    save(tmp_path / "x.pt", state)
    loaded = load(tmp_path / "x.pt")
    assert checksum(loaded) == checksum(state)
    assert list(loaded) == list(state)
    assert torch.equal(loaded["model"]["half"], state["model"]["half"])
    assert loaded["model"]["half"].dtype is torch.bfloat16
    assert torch.signbit(loaded["model"]["scalar"])
    assert loaded["betas"] == (0.9, True)


def test_is_a_plain_torch_file(tmp_path: Path) -> None:
    save(tmp_path / "x.pt", example())
    model = torch.load(tmp_path / "x.pt", weights_only=True)["model"]
    assert torch.equal(model["v"], example()["model"]["v"])


def test_what_a_module_and_an_optimiser_give_can_be_saved(tmp_path: Path) -> None:
    conv = torch.nn.Conv2d(1, 2, 3)
    model = torch.nn.Sequential(conv, torch.nn.BatchNorm2d(2))
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 1, 4, 4)).square().sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "p": conv.weight}
    save(tmp_path / "x.pt", state)
    loaded = load(tmp_path / "x.pt")
    assert model.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    assert loaded["p"].stride() == conv.weight.stride()


def test_a_view_does_not_bring_all_it_looks_into(tmp_path: Path) -> None:
    save(tmp_path / "x.pt", {"row": torch.zeros(1000, 1000)[3]})
    assert (tmp_path / "x.pt").stat().st_size < 10_000


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["model"]["v"][0, 0].add_(1e-7),
        lambda state: state["model"].update(v=state["model"]["v"].reshape(4, 3)),
        lambda state: state["model"].update(half=state["model"]["half"].view(torch.float16)),
        lambda state: state["model"].update(none=torch.zeros(3, 0)),
        lambda state: state["model"].update(scalar=torch.tensor(0.0, dtype=torch.float64)),
        lambda state: state["optimizer"]["groups"][0].update(lr=0.2),
        lambda state: state["optimizer"]["state"].update({"0": state["optimizer"]["state"].pop(0)}),
        lambda state: state["rows"].append({}),
        lambda state: state.update(betas=[0.9, True]),
        lambda state: state.update(betas=(0.9, 1)),
        lambda state: state.update(epoch=1.0),
    ],
)
def test_checksum_sees_every_change(change: Any) -> None:
    state = example()
    change(state)
    assert checksum(state) != checksum(example())


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", {1.5: 0}, [{(1, 2): 0}]])
def test_refuses_what_could_not_be_loaded(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"state\['a'\]"):
        save(tmp_path / "x.pt", {"a": value})
    with pytest.raises(ValueError, match="checksum"):
        save(tmp_path / "x.pt", {"checksum": ""})
    assert not list(tmp_path.iterdir())


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    """In headers, pickle, tensors and padding alike: never other content than was saved."""
    path = tmp_path / "x.pt"
    save(path, example())
    good = path.read_bytes()
    expected = checksum(example())
    messages = []
    for position in range(0, len(good), 3):
        altered = bytearray(good)
        altered[position] ^= 1 << position % 8
        path.write_bytes(altered)
        try:
            found = checksum(load(path))
        except DamagedCheckpoint as error:
            messages.append(str(error))
        else:
            assert found == expected, position
    assert len(messages) > len(good) / 3 / 2
    assert all(str(path) in message and "\n" not in message for message in messages)


def test_every_flipped_byte_of_content_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save(path, example())
    good = path.read_bytes()
    places = []
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.filename.endswith("/data.pkl") or "/data/" in part.filename:
                start = good.index(archive.read(part), part.header_offset)
                places += range(start, start + part.file_size)
    assert len(places) > 1000
    for position in places:
        altered = bytearray(good)
        altered[position] ^= 0xFF
        path.write_bytes(altered)
        with pytest.raises(DamagedCheckpoint):
            load(path)


def test_content_altered_by_somebody_who_mends_the_archive_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save(path, example())
    content = torch.load(path, weights_only=True)
    content["model"]["v"][0, 0] += 1
    torch.save(content, path)
    with pytest.raises(DamagedCheckpoint, match="checksum"):
        load(path)


@pytest.mark.parametrize("size", [0, 1, 22, 100, 0.3, 0.5, 0.9, 0.99, -1])
def test_truncation_is_noticed(tmp_path: Path, size: float) -> None:
    path = tmp_path / "x.pt"
    save(path, example())
    length = path.stat().st_size
    os.truncate(path, int(size * length) if 0 < size < 1 else int(size) % length)
    with pytest.raises(DamagedCheckpoint):
        load(path)


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("attacked",))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_code_in_a_file_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    attack = {"model": Attack(), "checksum": ""}
    if writer == "pickle":
        Path("x.pt").write_bytes(pickle.dumps(attack))
    else:
        torch.save(attack, "x.pt")
    with pytest.raises(DamagedCheckpoint):
        load(Path("x.pt"))
    assert not Path("attacked").exists()


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "x.pt")


def test_one_generation_is_kept(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        save_generation(tmp_path, example(epoch))
        latest = load_latest(tmp_path)
        assert latest is not None
        assert latest["epoch"] == epoch
        if epoch > 1:
            assert load(tmp_path / PREVIOUS_FILE)["epoch"] == epoch - 1
    assert {file.name for file in tmp_path.iterdir()} == {CHECKPOINT_FILE, PREVIOUS_FILE}


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    test_one_generation_is_kept(tmp_path)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    content[300:600] = bytes(300)
    path.write_bytes(content)


def test_the_older_one_is_used_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_generation(tmp_path, example(1))
    save_generation(tmp_path, example(2))
    assert load_latest(tmp_path) is not None
    assert not caplog.records
    damage(tmp_path / CHECKPOINT_FILE)
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["epoch"] == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert str(tmp_path / CHECKPOINT_FILE) in caplog.text
    assert str(tmp_path / PREVIOUS_FILE) in caplog.text

    save_generation(tmp_path, example(2))
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["epoch"] == 2


def test_a_missing_newest_is_no_damage(tmp_path: Path) -> None:
    save_generation(tmp_path, example(1))
    save_generation(tmp_path, example(2))
    (tmp_path / CHECKPOINT_FILE).unlink()
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["epoch"] == 1


def test_both_damaged_says_what_to_do(tmp_path: Path) -> None:
    save_generation(tmp_path, example(1))
    save_generation(tmp_path, example(2))
    damage(tmp_path / CHECKPOINT_FILE)
    (tmp_path / PREVIOUS_FILE).write_bytes(b"")
    with pytest.raises(RunError, match="delete") as caught:
        load_latest(tmp_path)
    assert CHECKPOINT_FILE in str(caught.value)
    assert PREVIOUS_FILE in str(caught.value)


def test_another_config_is_refused(tmp_path: Path) -> None:
    save_generation(tmp_path, example() | RECORD)
    assert load_latest(tmp_path, CONFIG | {"threads": 4}) is not None
    with pytest.raises(RunError, match="seed is 0 there and 1 here"):
        load_latest(tmp_path, CONFIG | {"seed": 1})


def test_a_whole_file_that_is_no_run_is_a_damaged_one(tmp_path: Path) -> None:
    save_generation(tmp_path, example(1) | RECORD)
    save_generation(tmp_path, example(2))
    latest = load_latest(tmp_path, CONFIG)
    assert latest is not None
    assert latest["epoch"] == 1


@pytest.mark.parametrize("call", ["write", "fsync", "link", "replace"])
def test_a_full_disk_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    save_generation(tmp_path, example(1))
    save_generation(tmp_path, example(2))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        if call == "link":
            patch.setattr("shutil.copyfile", refuse)
        with pytest.raises(RunError, match="No space left on device") as caught:
            save_generation(tmp_path, example(3))
    assert "\n" not in str(caught.value)
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["epoch"] == 2
    assert {file.name for file in tmp_path.iterdir()} == {CHECKPOINT_FILE, PREVIOUS_FILE}
