"""Who may import whom (reference/style.md section 4), read off the source: nothing here is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("catalog", "engine", "gotemplate", "logs", "proxy_api", "registrar")

# What a room may import of its own program. A folder's place says it: cores import cores, edges import cores, the
# writer joins edges, entries build the parts.
ROOMS = {
    "proxy_api": {
        "core": {"core"},
        "consul": {"core", "consul"},
        "haproxy": {"core", "haproxy"},
        "writer": {"core", "consul", "haproxy", "writer"},
        "api": {"core", "haproxy", "api"},
        "supervise": {"core", "haproxy", "supervise"},
        "cli": {"core", "haproxy", "writer", "api", "supervise", "cli"},
    },
    "registrar": {
        "core": {"core"},
        "consul": {"core", "consul", "status"},
        "network": {"core", "network"},
        "status": {"core", "status"},
        "shell": {"core", "status", "shell"},
        "cli": {"core", "consul", "network", "status", "shell", "cli"},
    },
}
# Of programs and packages without rooms, the values and rules: a module joins by saying so in its docstring; the list
# is written out so that none leaves unnoticed.
CORE = {
    "catalog": {"address", "codec", "errors", "model", "paths"},
    "engine": {"container", "errors", "events", "health", "swarm"},
}
UNMARKED = {"catalog.errors", "catalog.model"}  # values only

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


def room(name: str) -> str:
    """The folder below a program; "" for what lies beside its rooms."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package in ROOMS and rest.partition(".")[0] in ROOMS[package] else ""


def is_core(name: str) -> bool:
    package, _, rest = name.partition(".")
    return room(name) == "core" or package == "gotemplate" or rest in CORE.get(package, ())


def core() -> list[str]:
    return sorted(name for name in MODULES if is_core(name))


def test_every_module_opens_with_what_it_owns() -> None:
    assert [name for name in MODULES if not docstring(name)] == []


@pytest.mark.parametrize("package", CORE)
def test_the_core_says_so(package: str) -> None:
    expected = {f"{package}.{module}" for module in CORE[package]} - UNMARKED
    marked = {name for name in MODULES
              if name.startswith(f"{package}.") and "Pure." in docstring(name).split("\n\n")[0]}
    assert marked == expected


@pytest.mark.parametrize("name", core())
def test_the_core_imports_nothing_that_touches_the_world(name: str) -> None:
    assert sorted(i for i in imports(name) if within(i, IMPURE)) == []
    if name not in ("proxy_api.core.render", "proxy_api.core.operator_templates"):
        assert not any(within(i, {"jinja2"}) for i in imports(name))
    ours = {i for i in imports(name) if within(i, PACKAGES) and i in MODULES and i not in PACKAGES}
    assert sorted(i for i in ours if not is_core(i) and MODULES[i].name != "__init__.py") == []


@pytest.mark.parametrize("name", sorted(name for name in MODULES if room(name)))
def test_a_room_imports_what_its_place_allows(name: str) -> None:
    package = name.split(".")[0]
    allowed = ROOMS[package][room(name)]
    assert sorted(i for i in imports(name) if room(i) and room(i) not in allowed and i.startswith(package)) == []


def test_every_module_of_a_program_with_rooms_lies_in_one() -> None:
    beside = {name for name in MODULES if name.split(".")[0] in ROOMS and not room(name)}
    assert beside == {f"{package}{module}" for package in ROOMS for module in ("", ".__main__")}


@pytest.mark.parametrize(("library", "owners"), [
    ("consul", {"catalog.calls"}),
    ("docker", {"engine.docker_engine"}),
    ("flask", {"proxy_api.api.views", "proxy_api.api.server"}),
    ("gunicorn", {"proxy_api.api.server"}),
    ("re2", {"gotemplate.regexp"}),
])
def test_a_library_has_one_door(library: str, owners: set[str]) -> None:
    assert {name for name in MODULES if any(within(i, {library}) for i in imports(name))} == owners


@pytest.mark.parametrize(("package", "others"), [
    ("catalog", {"engine", "gotemplate", "logs", "registrar", "proxy_api"}),
    ("engine", {"catalog", "gotemplate", "logs", "registrar", "proxy_api"}),
    ("gotemplate", {"catalog", "engine", "logs", "registrar", "proxy_api"}),
    ("logs", {"catalog", "engine", "gotemplate", "registrar", "proxy_api"}),
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
    doors = {"engine.docker_engine", "registrar.status.server", "catalog.consul_client", "catalog.transport",
             "catalog.connections"}
    for name in MODULES:
        if within(name, {"registrar.shell"}):
            assert sorted(i for i in imports(name) if within(i, doors)) == [], name


def test_the_test_itself_sees_imports_wherever_they_stand() -> None:
    tree = ast.parse("def f():\n    import os.path\n    from socket import socket\n")
    found = set(_imports(tree, "x"))
    assert found == {"os.path", "socket", "socket.socket"}
    assert within("os.path", IMPURE)
    assert not within("osx", IMPURE)
