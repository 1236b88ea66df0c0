"""How the C library treats the big blocks that columns live in."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 64 << 20
BIGGEST_HEAP_BLOCK_BYTES = 32 << 20
"""The most that glibc allows."""


def keep_big_blocks() -> bool:
    """Lets freed columns be used again by this process instead of being given back to the kernel at once.

    By default glibc maps every block above 128 KiB anew, and the kernel zeroes its pages one fault at a time: of a
    decision for 100 000 children that is more than half of the time. Returns whether the C library took it; another
    one than glibc does as it does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, BIGGEST_HEAP_BLOCK_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
