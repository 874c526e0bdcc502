"""Memory that is freed stays with the process, for the next step to use.

A training step on a CPU frees and asks again for hundreds of megabytes. By default glibc gives
large blocks back to the system each time, and fresh pages cost more than the arithmetic of all
that is no convolution: a fifth of a step of the CIFAR-10 network (LOG.md).
"""

import ctypes
import os
from contextlib import suppress

# malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
_PAD_BYTES = 2**30


def keep_freed_memory() -> None:
    """Have this process, and those it starts, keep what they free. Call it before torch is used.

    It changes no result, and takes up to a sixth more memory. Does nothing where the C library is
    not glibc, or where the user has set $GLIBC_TUNABLES.
    """
    if "GLIBC_TUNABLES" in os.environ:
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch: huge pages
        for parameter, value in (
            (_M_MMAP_MAX, 0),
            (_M_TRIM_THRESHOLD, _NEVER),
            (_M_TOP_PAD, _PAD_BYTES),
        ):
            mallopt(parameter, value)
