"""An HAProxy in memory, as `proxy_api.haproxy.protocols.Proxy` shows it: a disk, a check, a worker, reloads.

It fails on command: `faults` names what is to fail next, each once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from proxy_api.core.errors import ApplyFailed, ConfigRejected
from proxy_api.core.observed import MasterView, Observed, Seen
from proxy_api.core.render import DIGEST_MAP, MAIN_FILE, ConfigFiles
from proxy_api.core.runtime import Command, NotApplied

_SERVER = re.compile(r"server (\S+) \[?([^ \]]+)\]?:(\d+)(?: weight (\d+))?( check)?")
_SET = re.compile(r"set server (\S+)/(\S+) (state|addr|weight|health) (\S+)(?: port (\d+))?")


class FakeHaproxy:
    """All five parts of it in one."""

    def __init__(self) -> None:
        self.faults: list[str] = []  # write, check, command:N, observe, reload
        self.rejected = ""  # a word that the check refuses
        self.disk: dict[str, ConfigFiles] = {}
        self.current: str | None = None
        self.servers: dict[str, dict[str, Seen]] = {}
        self.maps: dict[str, dict[str, str]] = {}
        self.worker = 1
        self.failed_reloads = 0

    @property
    def files(self) -> FakeHaproxy:
        return self

    config_check = runtime = master = reloader = files

    def _fails(self, what: str) -> bool:
        if what in self.faults:
            self.faults.remove(what)
            return True
        return False

    # --- the disk ----------------------------------------------------------------------------------------------------

    def write(self, config: ConfigFiles) -> object:
        if self._fails("write"):
            raise OSError(28, "No space left on device")
        self.disk[config.digest] = config
        return None

    def swap(self, config: ConfigFiles) -> str | None:
        before, self.current = self.current, config.digest
        return before

    def swap_back(self, digest: str | None) -> None:
        if digest in self.disk:
            self.current = digest

    def flush(self) -> None:
        pass

    def is_whole(self, digest: str) -> bool:
        return digest in self.disk

    def discard(self, digest: str) -> None:
        self.disk.pop(digest, None)

    def current_digest(self) -> str | None:
        return self.current

    def serves_something(self) -> bool:
        return self.current is not None and "\nbackend " in self.disk[self.current].text()

    # --- the check ---------------------------------------------------------------------------------------------------

    def check(self, config: ConfigFiles) -> None:
        self.try_out(config)
        self.write(config)

    def try_out(self, config: ConfigFiles) -> None:
        if self._fails("check"):
            raise ApplyFailed("HAProxy's check could not be run: told to fail")
        if self.rejected and self.rejected in config.text():
            raise ConfigRejected(f"HAProxy: {self.rejected} is refused")

    # --- the worker --------------------------------------------------------------------------------------------------

    def load(self, digest: str) -> None:
        """What a new worker has of a configuration."""
        config = self.disk[digest]
        self.servers = {}
        for section in re.split(r"\n(?=\S)", config.text(MAIN_FILE)):
            if found := re.match(r"backend (\S+)", section):
                self.servers[found[1]] = dict(_servers(section))
        self.maps = {name: dict(line.split(" ", 1) for line in text.splitlines())
                     for name, text in config.files if name.endswith(".map")}

    def serving(self) -> str | None:
        return self.maps.get(DIGEST_MAP, {}).get("digest", "")

    def execute(self, commands: Iterable[Command]) -> None:
        for number, command in enumerate(commands):
            if self._fails(f"command:{number}"):
                raise NotApplied(f"{command.line!r} was answered 'told to fail'")
            self._execute(command.line)

    def _execute(self, line: str) -> None:
        words = line.split()
        if words[1] == "map":
            entries = self.maps.setdefault(words[2], {})
            if words[0] == "del":
                del entries[words[3]]
            else:
                entries[words[3]] = words[4]
            return
        if found := _SET.fullmatch(line):
            self._set(*found.groups())
            return
        backend, name = words[-1 if words[0] != "add" else 2].split("/")
        if words[:2] == ["add", "server"]:
            server, = _servers("server " + line.removeprefix(f"add server {backend}/"))
            if name in self.servers[backend]:
                raise NotApplied("already exists")
            self.servers[backend][name] = replace_seen(server[1], active=False)
        elif words[:2] == ["enable", "server"]:
            self.servers[backend][name] = replace_seen(self.servers[backend][name], active=True)
        elif words[:2] == ["del", "server"] and self.servers.get(backend, {}).pop(name, None) is None:
            raise NotApplied("No such server.")

    def _set(self, backend: str, name: str, what: str, value: str, port: str | None) -> None:
        seen = self.servers[backend][name]
        self.servers[backend][name] = {
            "state": lambda: replace_seen(seen, active=value == "ready"),
            "addr": lambda: replace_seen(seen, address=value, port=int(port or 0)),
            "weight": lambda: replace_seen(seen, weight=int(value)),
            "health": lambda: replace_seen(seen, up=value == "up"),
        }[what]()

    def observe(self, backends: Iterable[str] | None, maps: Iterable[str]) -> Observed:
        if self._fails("observe"):
            raise NotApplied("told to fail")
        wanted = self.servers if backends is None else {b: self.servers.get(b, {}) for b in backends}
        return Observed({b: dict(s) for b, s in wanted.items() if s}, {m: dict(self.maps.get(m, {})) for m in maps})

    def processes(self) -> MasterView:
        return MasterView(1, self.worker, self.failed_reloads)

    # --- reloads -----------------------------------------------------------------------------------------------------

    def reload(self, digest: str, first: Iterable[Command] = ()) -> None:
        if self._fails("reload") or self.current != digest:
            self.failed_reloads += 1
            raise ApplyFailed("HAProxy could not start a worker with the new configuration; its log says why")
        self.worker += 1
        self.load(digest)
        for command in first:
            self._execute(command.line)


def replace_seen(seen: Seen, **changes: object) -> Seen:
    """A server as HAProxy has it, after a command."""
    return seen._replace(**changes)  # type: ignore[arg-type]


def _servers(section: str) -> Iterator[tuple[str, Seen]]:
    for name, address, port, weight, check in _SERVER.findall(section):
        yield name, Seen(address, int(port), True, int(weight or 1), bool(check), True)
