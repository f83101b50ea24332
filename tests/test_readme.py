"""The README's tour, pasted block by block into one shell; and that what the documents link to is there.

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
class Pasted:
    """A block of commands and the lines that the document shows below it; `…` in them stands for anything."""

    commands: tuple[str, ...]
    shown: tuple[str, ...] = ()

    def lacking(self, output: str) -> list[str]:
        """The lines that are not in the output, in this order; there may be others between them."""
        lines = iter(line.strip() for line in output.replace("\r", "").splitlines())
        return [shown for shown in self.shown if not any(_pattern(shown).fullmatch(line) for line in lines)]


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in shown.strip().split("…")))


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of the blocks of a document."""
    return re.findall(r"^```(.*)\n((?:.*\n)*?)```$", text, re.M)


def tour(text: str) -> list[Pasted]:
    """The `sh` blocks below the tour's headline, each with the `text` block that follows it."""
    found: list[Pasted] = []
    for language, content in blocks(text.partition("## A five-minute tour\n")[2].partition("\n## ")[0]):
        lines = tuple(content.splitlines())
        if language == "sh":
            found.append(Pasted(lines))
        else:
            assert (language, found[-1].shown) == ("text", ()), content
            found[-1] = Pasted(found[-1].commands, lines)
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
    pasted = tour(README.read_text())
    commands = [command for block in pasted for command in block.commands]
    assert commands[0] == FIRST_LINE
    assert len(commands) > 35
    assert sum(len(block.shown) for block in pasted) > 20
    node = loopback_address()
    consul, api, http = free_ports(3, node)
    own = f"export TOUR={name} NODE={node} CONSUL_PORT={consul} API_PORT={api} HTTP_PORT={http}"
    results = run_in_one_shell([own, *commands[1:]], environment(tmp_path))
    transcript = "\n".join(f"$ {command}\n{output}" for command, (_, output) in zip(commands, results, strict=False))
    for command, (code, output) in zip(commands, results, strict=False):
        assert code == 0, f"{command} ended with {code}: {output}\n{transcript}"
    assert len(results) == len(commands), transcript
    outputs = iter(output for _, output in results)
    for block in pasted:
        printed = "".join(next(outputs) for _ in block.commands)
        assert block.lacking(printed) == [], f"{block.commands}:\n{transcript}"
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
    pasted = Pasted(("curl",), ('{"Status":"OK",…"Servers":3,…}', "2 x-instance: one"))
    good = '{"Status":"OK","Message":"","Servers":3,"Version":7}\r\n      2 x-instance: one\r\n'
    assert pasted.lacking(good) == []
    assert pasted.lacking(good + "more\n") == []
    assert pasted.lacking("2 x-instance: one\n" + good.splitlines()[0]) == ["2 x-instance: one"], "not in this order"
    assert pasted.lacking(good.replace("one", "two")) == ["2 x-instance: one"]
    assert pasted.lacking("") == list(pasted.shown)


def test_a_command_that_fails_ends_the_shell() -> None:
    assert run_in_one_shell(["A=x", "echo $A; false", "echo never"], dict(os.environ)) == [(0, "\n"), (1, "x\n\n")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    files = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [file for file in files if file and not (document.parent / file).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_looks_like_commands_can_be_pasted(document: Path) -> None:
    """A block says what it is; commands stand without prompts and without what they print."""
    found = blocks(document.read_text())
    assert document.read_text().count("```") == 2 * len(found)
    assert {language for language, _ in found} <= {"sh", "text", "json", "yaml"}
    for language, content in found:
        prompts = [line for line in content.splitlines() if line.startswith(("$ ", "# ", "> "))]
        assert (language, prompts) == (language, [])
        if language == "sh":
            checked = subprocess.run(["bash", "-n"], input=content, text=True, capture_output=True, check=False)
            assert checked.stderr == "", content
