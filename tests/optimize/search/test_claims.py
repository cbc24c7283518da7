"""A claim lasts as long as its process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from optimize.search.claims import Claims

HOLDER = """
import sys, time
from pathlib import Path
from optimize.search.claims import Claims
claims = Claims(Path(sys.argv[1]))
assert claims.take(7)
print("held", flush=True)
time.sleep(600)
"""


def test_two_never_hold_one_trial(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    assert one.take(7)
    assert not one.take(7)
    assert not other.take(7)
    assert other.take(8)
    one.leave(7)
    assert other.take(7)
    other.leave(7)
    other.leave(8)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert not Claims(tmp_path).take(7)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(timeout=60)
    claims = Claims(tmp_path)
    assert claims.take(7)
    claims.leave(7)
