"""The text: what services become as HAProxy's configuration, whole, in tests/golden/*.txt.

Above the line of dashes stand the calls and what the catalog has, below it the answers' warnings and the files: all but
the sections `global` and `defaults`, which one case shows. After a change that is meant:

    UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/proxy_api/test_golden.py

writes what is below the lines anew, to be read in the difference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from catalog.model import Instance
from proxy_api.core import render, routing
from proxy_api.core.admission import make_release
from proxy_api.core.release import Release
from proxy_api.core.render import DIGEST_MAP, MAIN_FILE, Bind, Rendered, Surroundings
from proxy_api.core.requests import parse_request
from proxy_api.core.resolve import resolve
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.config_check import ConfigCheck
from proxy_api.haproxy.config_directory import ConfigDirectory
from proxy_api.haproxy.global_config import text_environment
from proxy_api.haproxy.template_files import TemplateFiles

CASES = sorted((Path(__file__).parent.parent / "golden").glob("*.txt"))
LINE = "-" * 120 + "\n"
UPDATE = "UPDATE_GOLDEN" in os.environ


@dataclass
class Case:
    """What stands above the line."""

    calls: list[str] = field(default_factory=list)
    catalog: list[Instance] = field(default_factory=list)
    kv: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    binds: list[Bind] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    hosts: list[tuple[str, str]] = field(default_factory=list)
    stats: tuple[str, str, str] = ("", "", "")
    whole: bool = False

    # What a template reads.

    def instances(self, service: str) -> Sequence[Instance]:
        return [i for i in self.catalog if i.service == service]

    def services(self) -> Mapping[str, Sequence[str]]:
        return {i.service: i.tags for i in self.catalog}

    def key(self, name: str) -> str | None:
        return self.kv.get(name)


def parse(text: str) -> Case:
    """A case; raises where a line is none of those that there are."""
    case = Case()
    file = ""
    for line in text.splitlines():
        if file and (line.startswith("    ") or not line):
            case.files[file] += line.removeprefix("    ") + "\n"
            continue
        file = ""
        match line.split():
            case [] | ["#", *_]:
                pass
            case [call] if call.startswith("reconfigure?"):
                case.calls.append(call.removeprefix("reconfigure?"))
            case ["instance", service, node, endpoint, *more]:
                case.catalog.append(_instance(service, node, endpoint, dict(word.split("=") for word in more)))
            case ["key", name, value]:
                case.kv[name] = value
            case ["file", file]:
                case.files[file] = ""
            case ["bind", address, *options]:
                case.binds.append(Bind(address, " ".join(o for o in options if o != "tls"), "tls" in options))
            case ["certificate", name]:
                case.certificates.append(name)
            case ["host", name, address]:
                case.hosts.append((name, address))
            case ["stats", address, user, password_hash]:
                case.stats = address, user, password_hash
            case ["whole"]:
                case.whole = True
            case _:
                raise ValueError(f"no case has a line such as {line!r}")
    return case


def _instance(service: str, node: str, endpoint: str, more: Mapping[str, str]) -> Instance:
    address, _, port = endpoint.rpartition(":")
    return Instance(node, f"{node}:{service}:{port}", service, address.strip("[]"), int(port),
                    tags=tuple(more.get("tags", "").split(",")), status=more.get("status", "passing"),
                    weight=int(more.get("weight", "1")))


def rendered(case: Case, folder: Path) -> tuple[Rendered, tuple[str, ...]]:
    """The configuration of the case, and what its callers are warned of. Template files and certificates lie in
    `folder`.
    """
    around = Surroundings(
        tuple(case.binds) or (Bind("*:80"),), "/cfg/haproxy.sock", (("connect", "5s"), ("client", "20s")),
        "http-keep-alive", 60, hosts=tuple(case.hosts), stats_bind=case.stats[0], stats_user=case.stats[1],
        stats_pass_hash=case.stats[2],
        certificates=tuple((str(folder / name), f"digest-of-{name}") for name in case.certificates))
    for name, text in case.files.items():
        (folder / name).write_text(text)
    asked = [parse_request(parse_qs(call)) for call in case.calls]
    files = TemplateFiles(str(folder))
    releases: dict[str, Release] = {
        a.spec.name: make_release(a.spec, files.read(a.spec), case, None, around.shared_binds()) for a in asked}
    found = resolve(releases, None, around.shared_binds(), ProxyState())
    assert found.broken == {}
    made = render.render(found.state, around, text_environment())
    warnings = [w for a in asked for w in a.warnings]
    warnings += [w for s in found.state.services for w in (*s.left_out, *(s.custom.warnings if s.custom else ()))]
    warnings += [w for s in found.state.services for w in routing.shadow_warnings(made.routing, s.name)]
    return made, tuple(warnings)


def shown(made: Rendered, warnings: Sequence[str], whole: bool, folder: Path) -> str:
    """What stands below the line."""
    files = dict(made.config.files)
    main = files.pop(MAIN_FILE)
    del files[DIGEST_MAP]  # it has another digest after every change of the text above
    parts = [f"warning: {warning}\n" for warning in warnings]
    parts.append(f"\n=== {MAIN_FILE}\n\n" + (main if whole else main[main.index("\nfrontend ") + 1:]).rstrip() + "\n")
    parts += [f"\n=== {name}\n\n{text}" for name, text in files.items()]
    return "".join(parts).replace(f"{folder}/", "/certs/").lstrip("\n")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for templates and certificates."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_text_is_what_it_was(path: Path, folder: Path) -> None:
    above, line, below = path.read_text().partition(LINE)
    case = parse(above)
    made, warnings = rendered(case, folder)
    text = shown(made, warnings, case.whole, folder)
    if UPDATE:
        assert "CI" not in os.environ, "what is right is for people to say"
        path.write_text(above + LINE + text)
        return
    assert line, f"{path.name} has no line of dashes: UPDATE_GOLDEN=1 writes what belongs below it"
    assert text == below


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_haproxy_takes_the_text(path: Path, folder: Path) -> None:
    case = parse(path.read_text().partition(LINE)[0])
    for name in case.certificates:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / name)
        subprocess.run(["openssl", "req", "-x509", *key, "-subj", f"/CN={name}", "-out", folder / "public"],
                       check=True, capture_output=True)
        with (folder / name).open("a") as file:
            file.write((folder / "public").read_text())
    made, _ = rendered(case, folder)
    ConfigCheck(ConfigDirectory(str(folder / "cfg")), "haproxy").check(made.config)


def test_equal_services_make_equal_text_whatever_their_order(folder: Path) -> None:
    for path in CASES:
        case = parse(path.read_text().partition(LINE)[0])
        turned = replace(case, calls=case.calls[::-1], catalog=case.catalog[::-1], hosts=case.hosts)
        assert rendered(case, folder)[0].config == rendered(turned, folder)[0].config, path.name
