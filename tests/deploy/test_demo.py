"""The demo itself, run as a user runs it; and that a step which does not do what it says is never passed over."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest

from deploy.demo.screen import Screen, Timing
from deploy.demo.stage import CURLRC
from deploy.demo.steps import (
    Expectation,
    Result,
    Step,
    accepted,
    answers,
    entries,
    faults,
    perform,
    says,
    started,
    traffic,
)
from deploy.demo.walk import Chapter
from deploy.local import ROOT, Process, http_get, run, wait_until
from deploy.origin import Origin

DEMO = [sys.executable, "-m", "deploy.demo"]
CURL = ROOT / "deploy" / "demo" / "curl.py"


def test_every_step_does_what_it_says_and_nothing_is_left(go_demo_image: str, tmp_path: Path) -> None:
    with run(DEMO, log=tmp_path / "log", env={"KEEP": ""}) as demo:
        assert demo.wait(90) == 0, demo.tail(80)
    output = demo.output()
    assert re.search(r"^45 steps, each did what it says", output, re.M), demo.tail()
    assert "\x1b" not in output, "colours where there is no terminal"
    assert left_behind(output) == []


def test_ctrl_c_ends_everything(go_demo_image: str, tmp_path: Path) -> None:
    with run(DEMO, log=tmp_path / "log", env={"KEEP": ""}) as demo:
        demo.wait_until(lambda: "--- 7/" in demo.output(), 60, "the demo is in the middle")
        demo.signal(signal.SIGINT)
        assert demo.wait(60) == 130, demo.tail()
    assert "interrupted" in demo.output()
    assert left_behind(demo.output()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_ends_programs_ends_everything(number: int, code: int, tmp_path: Path) -> None:
    with halted(tmp_path / "log") as demo:
        demo.signal(number)
        assert demo.wait(60) == code, demo.tail()
    assert "interrupted" in demo.output()
    assert left_behind(demo.output()) == []


def test_a_terminal_that_is_closed_ends_everything(go_demo_image: str) -> None:
    """The kernel sends SIGHUP, and nothing can be printed any more."""
    master, terminal = os.openpty()
    # A terminal of its own, as a terminal window gives a shell.
    with subprocess.Popen(["setsid", "--ctty", sys.executable, "-c", HALTED], stdin=terminal, stdout=terminal,
                          stderr=terminal, cwd=ROOT) as demo:
        os.close(terminal)
        output = ""
        while "--- 2/" not in output:
            output += os.read(master, 65536).decode()
        os.close(master)
        assert demo.wait(60) == 129
    assert left_behind(output) == []


def test_a_reader_that_goes_ends_everything(go_demo_image: str) -> None:
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True) as demo:
        assert demo.stdout is not None
        output = ""
        while "--- 2/" not in output:
            output += demo.stdout.readline()
        demo.stdout.close()
        assert demo.wait(60) == 1
    assert left_behind(output) == []


@pytest.mark.parametrize("keep", ["", "1"])
def test_what_a_demo_that_was_killed_leaves_is_ended_by_stop(keep: str, go_demo_image: str, tmp_path: Path) -> None:
    with halted(tmp_path / "log", keep) as demo:
        name = re.findall(r"\bdemo-[0-9a-f]{6}\b", demo.output())[0]
        running = stop(name).stdout
        assert f"{name} is being shown" in running, "nothing is taken from a demo that goes on"
        demo.kill()
    assert containers_of([name])
    stopped = stop(name)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{name}: 1 containers removed" in stopped.stdout
    assert left_behind(demo.output()) == []
    assert "no such demo is left running" in stop(name).stdout


def test_the_next_demo_names_what_one_that_was_killed_has_left_and_ends_it(go_demo_image: str, tmp_path: Path) -> None:
    with halted(tmp_path / "killed") as killed, halted(tmp_path / "other") as other:
        name = re.findall(r"\bdemo-[0-9a-f]{6}\b", killed.output())[0]
        killed.kill()
        with halted(tmp_path / "next") as following:
            assert f"{name} was killed" in following.output()
            assert left_behind(killed.output()) == []
            following.signal(signal.SIGINT)
            assert following.wait(60) == 130
        assert other.running, "a demo that goes on is left alone"
        other.signal(signal.SIGINT)
        assert other.wait(60) == 130
    assert left_behind(following.output() + other.output()) == []


def test_what_keep_leaves_running_can_be_used_and_stopped(go_demo_image: str, tmp_path: Path) -> None:
    with run(DEMO, log=tmp_path / "log", env={"KEEP": "1"}) as demo:
        assert demo.wait(90) == 0, demo.tail(80)
    after = demo.output().partition("=== Left running")[2]
    name = re.findall(r"^\$ export DEMO=(\S+)", after, re.M)[0]
    try:
        address = re.findall(r"^\$ export PROXY=(\S+)", after, re.M)[0]
        reply = http_get(f"http://{address}/demo/hello")
        assert (reply.status, reply.body) == (200, "hello, world!\n")
    finally:
        stopped = stop(name)
    assert stopped.returncode == 0, stopped.stderr
    assert "6 containers removed" in stopped.stdout
    assert left_behind(demo.output()) == []
    assert "no such demo is left running" in stop(name).stdout


def test_a_step_that_fails_fails_the_demo_and_ends_everything(go_demo_image: str, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "import deploy.demo.__main__ as demo\n"
        "from deploy.demo.steps import Step, says\n"
        "from deploy.demo.walk import Chapter\n"
        "steps = (Step('good', 'echo $CONSUL'), Step('bad', 'echo no', (says('yes'),)), Step('never', 'echo $API'))\n"
        "demo.chapters = lambda acts: (Chapter('sabotaged', steps),)\n"
        "sys.exit(demo.main([], {}))\n"
    )
    with run([sys.executable, "-c", script], log=tmp_path / "log") as demo:
        assert demo.wait(60) == 1, demo.tail()
    output = demo.output()
    assert "NOT OK: expected that it says 'yes'" in output
    assert "3 steps, stopped after 1" in output
    assert "3/3" not in output
    assert left_behind(output) == []


# A demo that starts one container and then waits for its end.
HALTED = """
import os, sys, time
import deploy.demo.__main__ as demo
from deploy.demo.steps import Step
from deploy.demo.walk import Chapter
run = "docker run -d --label portbook.demo=$DEMO-node-1 -P portbook/go-demo"
steps = Step("run", run), Step("wait", "true", act=lambda: time.sleep(600))
demo.chapters = lambda acts: (Chapter("halted", steps),)
sys.exit(demo.main([], os.environ))
"""


@contextlib.contextmanager
def halted(log: Path, keep: str = "") -> Iterator[Process]:
    """Such a demo, once it has its container."""
    with run([sys.executable, "-c", HALTED], log=log, env={"KEEP": keep}) as demo:
        demo.wait_until(lambda: "--- 2/" in demo.output(), 60, "the demo has its container")
        yield demo


def stop(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, "stop", name], capture_output=True, text=True, timeout=90, check=False, cwd=ROOT)


def left_behind(output: str) -> list[str]:
    """Processes, directories and containers of a demo that are still there, from what it printed."""
    directories = sorted(set(re.findall(r"/tmp/pb-[a-z]*-?[\w]+", output)))
    demos = sorted(set(re.findall(r"\bdemo-[0-9a-f]{6}\b", output)))
    assert directories
    assert demos
    found = [path for path in directories if Path(path).exists()]
    marks = [mark.encode() for mark in (*directories, *demos)]

    def processes() -> list[str]:
        mine = (os.getpid(), os.getppid())
        running = [folder for folder in Path("/proc").glob("[0-9]*") if int(folder.name) not in mine]
        return [folder.name for folder in running if any(mark in _traces(folder) for mark in marks)]

    # Ended is not yet collected, when it was init that adopted the process.
    wait_until(lambda: not processes(), 5, f"no process of {demos} is left: {processes()}")
    return found + containers_of(demos)


def containers_of(demos: Sequence[str]) -> list[str]:
    """The names of these demos' containers."""
    client: Any = docker.APIClient(version="auto", **docker.utils.kwargs_from_env())
    try:
        labels = [(c["Names"], c["Labels"].get("portbook.demo", "")) for c in client.containers(all=True)]
    finally:
        client.close()
    return [str(name) for name, label in labels if label.startswith(tuple(demos))]


def _traces(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
    except OSError:
        return b""


# --- the runner ----------------------------------------------------------------------------------------------------

JSON = '{"Status": "OK", "Servers": 3, "ServicePath": ["/demo"]}'
COUNTS = "     10 x-instance: app-1\n     20 x-instance: app-2\n"
IDS = "a" * 64 + "\n" + "b" * 64 + "\n"


@pytest.mark.parametrize(
    ("expectation", "output", "holds"),
    [
        (says("hello"), "hello, world!\n", True),
        (says("hello"), "goodbye\n", False),
        (answers(200), "HTTP/1.1 200 OK\n\nhi\n", True),
        (answers(200), "HTTP/1.1 503 Service Unavailable\n", False),
        (answers(200), "curl: (7) Failed to connect\n", False),
        (answers(200, 503), "HTTP/1.1 200 OK\n\nhi\nHTTP/1.1 503 No\n", True),
        (answers(200, 503), "HTTP/1.1 503 No\nHTTP/1.1 200 OK\n\nhi\n", False),
        (accepted(Servers=3, ServicePath=["/demo"]), JSON, True),
        (accepted(Servers=2), JSON, False),
        (accepted(), JSON.replace("OK", "NOK"), False),
        (accepted(), "Internal Server Error", False),
        (entries(2), '"ServiceID": "a"\n"ServiceID": "b"\n', True),
        (entries(1), "[]\n", False),
        (started(2), IDS, True),
        (started(2), IDS[:65] + "docker: port is taken\n", False),
        (traffic("app-1", "app-2"), COUNTS, True),
        (traffic("app-1"), COUNTS, False),
        (traffic("app-1", "app-2", "app-3"), COUNTS, False),
        (traffic("app-1", "app-2"), COUNTS.replace("20", "19"), False),
    ],
)
def test_an_expectation_tells_good_output_from_bad(expectation: Expectation, output: str, holds: bool) -> None:
    assert expectation.holds(Result(0, output)) is holds


@pytest.mark.parametrize(
    ("step", "result", "lacking"),
    [
        (Step("", "", (says("yes"),)), Result(0, "yes"), []),
        (Step("", "", (says("yes"),)), Result(1, "yes"), ["ends with exit code 0"]),
        (Step("", "", (says("yes"),), code=7), Result(7, "yes"), []),
        (Step("", "", code=7), Result(0, ""), ["ends with exit code 7"]),
        (Step("", "", (says("yes"), says("no"))), Result(0, ""), ["says 'yes'", "says 'no'"]),
    ],
)
def test_every_expectation_and_the_exit_code_have_to_hold(step: Step, result: Result, lacking: list[str]) -> None:
    assert faults(step, result) == lacking


def test_a_step_that_may_take_a_while_is_asked_again_until_it_holds_or_time_is_over(tmp_path: Path) -> None:
    count = Step("", f"echo x >> {tmp_path}/n; wc -l < {tmp_path}/n", (says("3"),), within=20)
    result, lacking = perform(count, {})
    assert (result.output.strip(), lacking) == ("3", [])
    assert perform(Step("", "echo no", (says("yes"),), within=0.1), {})[1] == ["says 'yes'"]


def test_the_walk_ends_at_the_first_step_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    from deploy.demo.__main__ import walk

    happened: list[str] = []
    steps = (
        Step("one", "echo $WHO", (says("me"),), act=lambda: happened.append("one")),
        Step("two", "exit 3", act=lambda: happened.append("two")),
        Step("three", "true", act=lambda: happened.append("three")),
    )
    variables = {"WHO": "me", "UNUSED": "x"}
    done = walk(Screen(), (Chapter("first", steps),), lambda: variables, lambda: variables, Timing())
    output = capsys.readouterr().out
    assert (done, happened) == (1, ["one", "two"])
    assert "$ export WHO=me" in output
    assert "UNUSED" not in output
    assert "NOT OK: expected that it ends with exit code 0" in output


# --- the stand-in for a machine without curl -----------------------------------------------------------------------

CURL_FORMS = ["{}/a", "-i {}/a", "-D - -o /dev/null {}/a?b=c", "-X POST {}/a", "-sf {}/a", "-i -H 'Host: x.org' {}/a"]


@pytest.mark.parametrize("words", CURL_FORMS)
def test_the_stand_in_prints_what_curl_prints(words: str, tmp_path: Path) -> None:
    real = shutil.which("curl")
    (tmp_path / ".curlrc").write_text(CURLRC)
    with Origin("a") as origin:
        command = words.format(f"{origin.host}:{origin.port}")
        ours = _shell(f"{sys.executable} {CURL} {command}", tmp_path)
        assert ours.returncode == 0, ours.stderr
        assert ("HTTP/1.1 200 OK\n" in ours.stdout) == ("-i" in words or "-D" in words)
        if real is not None:
            theirs = _shell(f"{real} {command}", tmp_path)
            assert _without_date(ours.stdout) == _without_date(theirs.stdout)


def test_the_stand_in_fails_as_curl_does(tmp_path: Path) -> None:
    with Origin("a") as origin:
        gone = f"{origin.host}:{origin.port}"
    refused = _shell(f"{sys.executable} {CURL} -i {gone}/a", tmp_path)
    assert refused.returncode == 7
    assert "Failed to connect" in refused.stderr
    assert _shell(f"{sys.executable} {CURL} -sf {gone}/a", tmp_path).stderr == ""
    assert "Failed to connect" in _shell(f"{sys.executable} {CURL} -sS {gone}/a", tmp_path).stderr


def _shell(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "CURL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _without_date(text: str) -> str:
    return re.sub(r"(?im)^date:.*\n?", "", text)
