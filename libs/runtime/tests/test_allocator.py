"""Freed columns stay with the process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
from apportion.runtime.allocator import keep_big_blocks
if sys.argv[1] == "kept" and not keep_big_blocks():
    sys.exit("not glibc")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(4 << 20)
before = faults()
for _ in range(50):
    bytearray(4 << 20)
print(faults() - before)
"""


def _faults(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, way], check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_a_block_that_was_freed_is_used_again_without_page_faults():
    assert _faults("kept") < 100 < _faults("default")
