"""Who may import whom (reference/style.md section 4), read off the source: nothing here is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("catalog", "engine", "gotemplate", "proxy_api", "registrar")

# Values and rules: what they import is pure as well. A module joins by saying so in its docstring; the list is written
# out so that none leaves unnoticed.
CORE = {
    "catalog": {"address", "codec", "errors", "model"},
    "gotemplate": {"builtins", "evaluate", "faults", "functions", "lexer", "parser", "printf", "regexp", "strings",
                   "tree", "values"},
    "proxy_api": {"accept", "admission", "answers", "consul_template", "consul_template.catalog",
                  "consul_template.catalog_text", "consul_template.entries", "consul_template.functions",
                  "consul_template.helpers", "custom", "errors", "follow", "grammar", "keys", "plan", "preview",
                  "release", "render", "route", "routing", "runtime", "sections", "settings", "state"},
    "engine": {"container", "errors", "events", "health", "swarm"},
}
# What these modules' docstrings have to say, and nobody else's.
MARK = {"catalog": "Pure.", "engine": "Pure.", "gotemplate": "Pure.", "proxy_api": "Core."}
UNMARKED = {"catalog.errors", "catalog.model"}  # values only
# Nearly core: it turns values into a value, and logs what changed.
LOGS = "proxy_api.reports"

IMPURE = {"os", "time", "socket", "subprocess", "threading", "logging", "docker", "consul", "flask", "requests",
          "pathlib", "shutil", "select", "fcntl", "signal", "tempfile", "http", "urllib.request", "asyncio", "random",
          "secrets", "ctypes", "gunicorn", "tenacity", "prometheus_client", "importlib"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
IMPORTS: dict[str, frozenset[str]] = {}


def imports(name: str) -> frozenset[str]:
    """Every module that a module imports, wherever the statement stands; for `from a import b` also a.b."""
    if name not in IMPORTS:
        IMPORTS[name] = frozenset(_imports(ast.parse(MODULES[name].read_text()), name))
    return IMPORTS[name]


def _imports(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in ("__import__", "import_module"), f"{name} imports at run time, unseen by this test"


def within(imported: str, packages: Sequence[str] | set[str]) -> bool:
    return any(imported == p or imported.startswith(p + ".") for p in packages)


def docstring(name: str) -> str:
    return ast.get_docstring(ast.parse(MODULES[name].read_text())) or ""


def in_core_room(name: str) -> bool:
    return "core" in name.split(".")


def says_core(name: str) -> bool:
    return name.split(".")[0] in MARK and MARK[name.split(".")[0]] in docstring(name).split("\n\n")[0]


def core() -> list[str]:
    return sorted(name for name in MODULES
                  if in_core_room(name) or says_core(name) or name in UNMARKED)


def test_every_module_opens_with_what_it_owns() -> None:
    assert [name for name in MODULES if not docstring(name)] == []


@pytest.mark.parametrize("package", CORE)
def test_the_core_says_so(package: str) -> None:
    expected = {f"{package}.{module}" for module in CORE[package]} - UNMARKED
    assert sorted(expected - {name for name in MODULES if says_core(name)}) == []


@pytest.mark.parametrize("name", core())
def test_the_core_imports_nothing_that_touches_the_world(name: str) -> None:
    assert sorted(i for i in imports(name) if within(i, IMPURE)) == []
    if name not in ("proxy_api.render", "proxy_api.custom"):
        assert not any(within(i, {"jinja2"}) for i in imports(name))
    ours = {i for i in imports(name) if within(i, PACKAGES) and i in MODULES and i not in PACKAGES}
    # proxy_api.jobs holds values, and a Future for the hand-over.
    assert sorted(ours - set(core()) - {"proxy_api.jobs"}) == []


def test_only_the_report_of_how_things_stand_may_log() -> None:
    assert sorted(i for i in imports(LOGS) if within(i, IMPURE - {"logging"})) == []
    assert {i for i in imports(LOGS) if i in MODULES and i not in PACKAGES} <= {*core(), "proxy_api.jobs"}


@pytest.mark.parametrize(("library", "owners"), [
    ("consul", {"catalog.consul_client"}),
    ("docker", {"engine.docker_engine"}),
    ("flask", {"proxy_api.views", "proxy_api.api_server"}),
    ("gunicorn", {"proxy_api.api_server"}),
])
def test_a_library_has_one_door(library: str, owners: set[str]) -> None:
    assert {name for name in MODULES if any(within(i, {library}) for i in imports(name))} == owners


@pytest.mark.parametrize(("package", "others"), [
    ("catalog", {"engine", "gotemplate", "registrar", "proxy_api"}),
    ("engine", {"gotemplate", "registrar", "proxy_api"}),
    ("gotemplate", {"catalog", "engine", "registrar", "proxy_api"}),
    ("registrar", {"proxy_api"}),
    ("proxy_api", {"registrar"}),
])
def test_packages_keep_apart(package: str, others: set[str]) -> None:
    for name in MODULES:
        if name.split(".")[0] == package:
            assert sorted(i for i in imports(name) if within(i, others)) == [], name


def test_no_program_imports_what_only_tests_and_the_demo_have() -> None:
    for name in MODULES:
        assert sorted(i for i in imports(name) if within(i, {"deploy", "tests", "bench", "pytest", "hypothesis"})) == []


def test_the_shell_knows_edges_only_by_its_own_protocols() -> None:
    edges = {"proxy_api.haproxy", "proxy_api.store", "proxy_api.template_files", "proxy_api.certificates",
             "proxy_api.surroundings", "catalog.consul_client", "catalog.transport", "catalog.connections",
             "catalog.conversation"}
    assert sorted(i for i in imports("proxy_api.sync") if within(i, edges)) == []
    assert sorted(i for i in imports("proxy_api.watch") if within(i, edges)) == []
    registrars = {"engine.docker_engine", "registrar.consul", "registrar.network", "registrar.status.server",
                  "registrar.cli", "registrar.__main__", "catalog.consul_client", "catalog.transport",
                  "catalog.connections", "catalog.conversation"}
    for name in MODULES:
        if within(name, {"registrar.shell"}):
            assert sorted(i for i in imports(name) if within(i, registrars)) == [], name


@pytest.mark.parametrize("room", ["registrar.consul", "registrar.network", "registrar.status"])
def test_an_edge_knows_nothing_of_the_shell(room: str) -> None:
    for name in MODULES:
        if within(name, {room}):
            assert sorted(i for i in imports(name) if within(i, {"registrar.shell", "registrar.cli"})) == [], name


def test_the_test_itself_sees_imports_wherever_they_stand() -> None:
    tree = ast.parse("def f():\n    import os.path\n    from socket import socket\n")
    found = set(_imports(tree, "x"))
    assert found == {"os.path", "socket", "socket.socket"}
    assert within("os.path", IMPURE)
    assert not within("osx", IMPURE)
