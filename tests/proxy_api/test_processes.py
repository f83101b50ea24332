"""Processes that are forked: what they have of their parent, and what they must not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FORKS = """
import fcntl, os, signal, sys, time
from proxy_api.supervise.processes import Forked
signal.signal(signal.SIGTERM, lambda *_: None)
"""


def run(script: str) -> str:
    """The output of a program with one thread, as a supervisor is."""
    return subprocess.run([sys.executable, "-c", FORKS + script], capture_output=True, text=True, timeout=60,
                          check=True).stdout


def test_a_signal_right_after_the_fork_ends_the_child_although_its_parent_handles_it() -> None:
    assert run("""
ends = []
for _ in range(30):
    child = Forked("sleeper", lambda: time.sleep(30))
    os.kill(child.pid, signal.SIGTERM)
    ends.append(child.wait())
print(set(ends))
""") == f"{ {-15} }\n"


def test_a_child_holds_neither_the_lock_nor_the_input_of_its_parent(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert run(f"""
os.close(0)
lock = os.open({str(lock)!r}, os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
assert lock == 0, "the lowest that is free, as when a program is started without an input"
child = Forked("sleeper", lambda: time.sleep(30))
while "sleeper" not in open(f"/proc/{{child.pid}}/comm").read():
    time.sleep(0.01)
os.close(lock)
again = os.open({str(lock)!r}, os.O_RDWR)
for _ in range(500):
    try:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
        break
    except BlockingIOError:
        time.sleep(0.01)
os.kill(child.pid, signal.SIGKILL)
child.wait()
""") == "free\n"


def test_what_a_child_does_is_its_status() -> None:
    assert run("""
def fail():
    raise RuntimeError("x")
print([Forked("x", run).wait() for run in (lambda: None, fail, lambda: sys.exit(3), lambda: os.abort())])
""") == "[0, 1, 3, -6]\n"
