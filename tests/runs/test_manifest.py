"""The processor's name can be found: family, model, stepping and instruction sets."""

from pathlib import Path

import pytest

from wnrepro.runs.manifest import processor

XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Processor
stepping\t: 2
flags\t\t: fpu avx2 avx512_vnni avx512_bf16 amx_bf16 amx_tile

processor\t: 1
model name\t: another
"""


def of(folder: Path, text: str) -> dict:
    (folder / "cpuinfo").write_text(text)
    return processor(folder / "cpuinfo")


def test_a_processor_with_matrix_units(tmp_path: Path) -> None:
    assert of(tmp_path, XEON) == {
        "cpu": "Intel(R) Xeon(R) Processor (family 6 model 207 stepping 2, AMX)",
        "cpu_family": 6,
        "cpu_model": 207,
        "cpu_stepping": 2,
        "cpu_instructions": ["amx_bf16", "avx512_bf16", "avx512_vnni", "avx2"],
    }


@pytest.mark.parametrize(
    ("flags", "end"),
    [
        ("fpu avx2", ", AVX2)"),
        ("avx2 avx512_vnni avx512_bf16", ", AVX512-BF16)"),
        ("fpu", "stepping 2)"),
    ],
)
def test_the_best_instruction_set_is_named(tmp_path: Path, flags: str, end: str) -> None:
    text = XEON.replace("fpu avx2 avx512_vnni avx512_bf16 amx_bf16 amx_tile", flags)
    assert of(tmp_path, text)["cpu"].endswith(end)


@pytest.mark.parametrize("text", ["", "processor\t: 0\nBogoMIPS\t: 50.0\nCPU part\t: 0xd0c\n"])
def test_elsewhere_only_the_name_is_known(tmp_path: Path, text: str) -> None:
    found = of(tmp_path, text)
    assert found.pop("cpu")
    assert set(found.values()) == {None}
    assert processor(tmp_path / "missing").keys() == {"cpu", *found}
