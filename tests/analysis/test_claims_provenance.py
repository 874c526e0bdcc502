"""Hardware and commit, as they stand beside a number."""

import math

from wnrepro.analysis.claims.judgement import commit, hardware


def test_hardware_and_commit_of_a_run():
    run = {"gpu": None, "cpu": "Xeon", "threads": 2.0, "dirty": True, "commit": "0123456789ab"}
    assert hardware(run) == "Xeon, 2 threads"
    assert hardware(run | {"threads": math.nan}) == "Xeon"
    assert hardware(run | {"gpu": "H100"}) == "H100"
    assert commit(run) == "0123456789 with changes"
    assert commit(run | {"commit": None, "dirty": False}) == "no commit"
    assert (
        commit(run | {"commit": "a" * 40 + " + " + "b" * 40})
        == f"{'a' * 10} + {'b' * 10} with changes"
    )
