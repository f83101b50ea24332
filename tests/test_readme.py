"""The README's tour, typed word for word into one shell; and that what the documents link to is there.

In the tour's first line stand addresses, ports and a name, "change there what is taken": that line alone is changed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import ROOT, consul_binary, free_ports, loopback_address, wait_until

README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TOUR_WITHIN_S = 90
FIRST_LINE = "export TOUR=tour NODE=127.0.0.1 CONSUL_PORT=8500 API_PORT=8080 HTTP_PORT=8000"


@dataclass(frozen=True)
class Typed:
    """A command of the tour and the lines that the README shows below it; `…` in them stands for anything."""

    command: str
    shown: tuple[str, ...]

    def lacking(self, output: str) -> list[str]:
        lines = [line.strip() for line in output.replace("\r", "").splitlines()]
        return [shown for shown in self.shown if not any(_pattern(shown).fullmatch(line) for line in lines)]


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in shown.strip().split("…")))


def tour(text: str) -> list[Typed]:
    """The commands of the `console` blocks below the tour's headline."""
    section = text.partition("## A five-minute tour\n")[2].partition("\n## ")[0]
    found: list[Typed] = []
    for block in re.findall(r"^```console\n(.*?)^```", section, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Typed(line[2:], ()))
            else:
                found[-1] = Typed(found[-1].command, (*found[-1].shown, line))
    return found


@pytest.fixture
def name(go_demo_image: str) -> Iterator[str]:
    """A name of the tour's own, under which everything is ended that a failed tour leaves behind."""
    chosen = f"tour-{secrets.token_hex(4)}"
    yield chosen
    for pid in _with_environment(f"TOUR={chosen}"):
        os.kill(pid, signal.SIGKILL)
    containers = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=tour={chosen}"], capture_output=True, text=True, check=True
    ).stdout.split()
    if containers:
        subprocess.run(["docker", "rm", "-f", *containers], check=True, capture_output=True)


def _with_environment(setting: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if setting.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def test_the_tour_does_what_the_readme_says(name: str, tmp_path: Path) -> None:
    typed = tour(README.read_text())
    assert typed[0].command == FIRST_LINE
    assert len(typed) > 35
    node = loopback_address()
    consul, api, http = free_ports(3, node)
    own = f"export TOUR={name} NODE={node} CONSUL_PORT={consul} API_PORT={api} HTTP_PORT={http}"
    results = run_in_one_shell([own, *(t.command for t in typed[1:])], environment(tmp_path))
    transcript = "\n".join(f"$ {t.command}\n{output}" for t, (_, output) in zip(typed, results, strict=False))
    for expected, (code, output) in zip(typed, results, strict=False):
        assert code == 0, f"{expected.command} ended with {code}: {output}\n{transcript}"
        assert expected.lacking(output) == [], f"{expected.command}:\n{transcript}"
    assert len(results) == len(typed), transcript
    wait_until(lambda: not _with_environment(f"TOUR={name}"), 10, "the tour's own last commands end all it started")


def environment(directory: Path) -> dict[str, str]:
    """This machine's, with the Consul that there is and a curl; without anybody's settings."""
    commands = directory / "bin"
    commands.mkdir()
    (commands / "consul").symlink_to(consul_binary())
    if shutil.which("curl") is None:
        (commands / "curl").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/deploy/demo/curl.py "$@"\n')
        (commands / "curl").chmod(0o755)
    (directory / ".curlrc").write_text('noproxy = "*"\n')
    kept = {n: v for n, v in os.environ.items() if n in ("HOME", "LANG", "TMPDIR") or n.startswith("DOCKER_")}
    python = Path(sys.executable).parent
    path = f"{python}:{os.environ['PATH']}:{commands}"
    return {**kept, "PATH": path, "CURL_HOME": str(directory), "DOCKER_CONTEXT": "default"}


def run_in_one_shell(commands: list[str], environ: dict[str, str]) -> list[tuple[int, str]]:
    """Type the commands one after the other; exit code and output of each, up to the first that fails."""
    mark = f"--{secrets.token_hex(8)}--"
    # $? is taken before anything else; a background command prints nothing of its own.
    script = "".join(f"{command}\ncode=$?; echo; echo {mark} $code; [ $code = 0 ] || exit\n" for command in commands)
    # Output to a file: a background program that has it would keep a pipe open, and what hangs shows how far it got.
    with tempfile.TemporaryFile("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script], env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            shell.wait(TOUR_WITHIN_S)
        except subprocess.TimeoutExpired:
            shell.kill()
            shell.wait()
        output.seek(0)
        text = output.read()
    if shell.returncode < 0:
        text += f"\n(no end after {TOUR_WITHIN_S} s)\n{mark} 1\n"
    pieces = re.split(rf"^{mark} (\d+)\n", text, flags=re.M)
    return [(int(code), shown) for shown, code in zip(pieces[0::2], pieces[1::2], strict=False)]


def test_shown_lines_have_to_appear() -> None:
    typed = Typed("curl", ('{"Status":"OK",…"Servers":3,…}', "2 x-instance: one"))
    good = '{"Status":"OK","Message":"","Servers":3,"Version":7}\r\n      2 x-instance: one\r\n'
    assert typed.lacking(good) == []
    assert typed.lacking(good.replace('"Servers":3', '"Servers":2')) == [typed.shown[0]]
    assert typed.lacking("") == list(typed.shown)


def test_a_command_that_fails_ends_the_shell() -> None:
    assert run_in_one_shell(["A=x", "echo $A; false", "echo never"], dict(os.environ)) == [(0, "\n"), (1, "x\n\n")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    files = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [file for file in files if file and not (document.parent / file).exists()] == []
