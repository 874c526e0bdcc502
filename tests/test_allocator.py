"""What is freed is not given back to the system, and a run's bytes stay what they are."""

import os
import subprocess
import sys

import pytest

CODE = """
import resource
{call}
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    torch.ones(8, 2**20).mul(2)  # 32 MiB twice
for _ in range(30):
    use()  # blocks move up the heap until it has all that it keeps
before = faults()
for _ in range(20):
    use()
print(faults() - before)
"""
CALL = "from wnrepro.allocator import keep_freed_memory; keep_freed_memory()"


def faults(call: str, **environment: str) -> int:
    """Pages that twenty steps had to ask the system for."""
    kept = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(call=call)],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_a_step_finds_the_pages_of_the_step_before() -> None:
    kept, given_back = faults(CALL), faults("")
    assert kept < 0.1 * given_back
    assert faults(CALL, GLIBC_TUNABLES="glibc.malloc.check=0") > 5 * kept, "the user's own"
