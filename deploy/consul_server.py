"""A real Consul server of one's own, on an address of its own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import tempfile
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from deploy.net import Reply, free_ports, http_request, loopback_address
from deploy.process import ROOT, Process
from deploy.waiting import wait_until


def _state(thread: Path) -> str:
    """The state letter of a thread (proc(5): the field after the name in brackets)."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def consul_binary() -> str:
    """$CONSUL_BIN, the consul on the PATH, or the one that `make install` has fetched."""
    fetched = ROOT / ".tools" / "consul"
    found = os.environ.get("CONSUL_BIN") or shutil.which("consul") or (str(fetched) if fetched.exists() else None)
    if found is None:
        raise FileNotFoundError("there is no Consul here; run: make install, or set CONSUL_BIN")
    return found


class ConsulServer:
    """`with ConsulServer() as consul:` runs one server, which is ready when the block begins.

    dev=True (the default) keeps everything in memory; dev=False has a data directory, so it can be restarted with its
    data. `config` is more configuration, as a mapping or as HCL text, for instance for ACLs; `token` is then the one
    that the helpers here use.
    """

    def __init__(
        self,
        *,
        dev: bool = True,
        node_name: str = "proxy",
        config: Mapping[str, object] | str | None = None,
        token: str | None = None,
        host: str | None = None,
        port: int | None = None,
        outlive: bool = False,
    ) -> None:
        self.dev = dev
        self.node_name = node_name
        self.token = token
        self.host = host or loopback_address()
        self.outlive = outlive
        self.directory = Path(tempfile.mkdtemp(prefix="pb-consul-"))
        self.start_seconds = 0.0  # what the last start took
        self._process: Process | None = None
        # They stay the same over restarts, as Raft remembers the server's address.
        http, server, serf = free_ports(3, self.host)
        self.port = port or http
        ports = {"http": self.port, "server": server, "serf_lan": serf}
        self._write_config("base.json", json.dumps(self._base_config(ports)))
        if isinstance(config, str):
            self._write_config("extra.hcl", config)
        elif config is not None:
            self._write_config("extra.json", json.dumps(config))

    @property
    def address(self) -> str:
        """host:port of the HTTP API."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError("this Consul was not started")
        return self._process

    # --- its life --------------------------------------------------------------------------------------------------

    def start(self, deadline_s: float = 30.0) -> Self:
        """Starts it and waits until there is a leader, the KV store takes a write and the node is in the catalog."""
        began = time.monotonic()
        mode = ["-dev"] if self.dev else ["-server", "-bootstrap-expect=1", f"-data-dir={self.directory}/data"]
        self._process = Process(
            [consul_binary(), "agent", *mode, f"-config-dir={self.directory}/config"],
            log=self.directory / "consul.log",
            name="consul",
            outlive=self.outlive,
        )
        self._process.wait_until(self._ready, deadline_s, "Consul has a leader and takes writes")
        self.start_seconds = time.monotonic() - began
        return self

    def stop(self) -> None:
        """SIGTERM; a server stays a member of its cluster."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def restart(self, *, keep_data: bool = True, deadline_s: float = 30.0) -> None:
        """Stops it if it runs and starts it at the same address, with its data (dev=False only) or without."""
        if keep_data and self.dev:
            raise ValueError("a dev server has no data to keep; use ConsulServer(dev=False), or keep_data=False")
        self.stop()
        if not keep_data:
            shutil.rmtree(self.directory / "data", ignore_errors=True)
        self.start(deadline_s)

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing. Ends when every thread has stopped."""
        self.process.signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        wait_until(lambda: all(_state(thread) == "T" for thread in threads.iterdir()), 5, "Consul has stopped")

    def thaw(self) -> None:
        self.process.signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes what it wrote; with nothing to keep, kill -9 saves half a second."""
        if self._process is not None and self._process.running:
            self._process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.close()

    # --- looking into it, without the code under test --------------------------------------------------------------

    def request(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Reply:
        """One request, such as ("GET", "/v1/agent/self"); a body that is neither str nor bytes is sent as JSON."""
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        used = token or self.token
        headers = {"X-Consul-Token": used} if used else {}
        return http_request(method, self.url + path, headers=headers, body=data)

    def get_json(self, path: str) -> Any:
        reply = self.request("GET", path)
        if reply.status != 200:
            raise OSError(f"Consul answered {reply.status} to GET {path}: {reply.body[:500]}")
        return reply.json()

    def put(self, path: str, body: object = None) -> None:
        reply = self.request("PUT", path, body)
        if reply.status != 200:
            raise OSError(f"Consul answered {reply.status} to PUT {path}: {reply.body[:500]}")

    def kv(self, prefix: str = "") -> dict[str, str]:
        """All keys below the prefix with their values."""
        reply = self.request("GET", f"/v1/kv/{urllib.parse.quote(prefix)}?recurse")
        if reply.status == 404:
            return {}
        if reply.status != 200:
            raise OSError(f"Consul answered {reply.status} for the keys below {prefix!r}: {reply.body[:500]}")
        return {entry["Key"]: base64.b64decode(entry["Value"] or "").decode(errors="replace") for entry in reply.json()}

    def kv_put(self, key: str, value: str) -> None:
        self.put(f"/v1/kv/{urllib.parse.quote(key)}", value)

    def services(self) -> dict[str, list[str]]:
        """The names in the catalog with their tags; Consul's own service left out."""
        found: dict[str, list[str]] = self.get_json("/v1/catalog/services")
        return {name: tags for name, tags in found.items() if name != "consul"}

    def instances(self, service: str) -> list[dict[str, Any]]:
        """The catalog's entries for one service, ordered by their ID."""
        entries: list[dict[str, Any]] = self.get_json(f"/v1/catalog/service/{urllib.parse.quote(service, safe='')}")
        return sorted(entries, key=lambda entry: str(entry["ServiceID"]))

    def register(
        self,
        name: str,
        address: str,
        port: int,
        *,
        id: str | None = None,
        tags: Sequence[str] = (),
        meta: Mapping[str, str] | None = None,
        weight: int | None = None,
    ) -> str:
        """Registers an instance at the agent, as any other program would; returns its ID."""
        service_id = id or f"{name}-{port}"
        self.put(
            "/v1/agent/service/register",
            {
                "ID": service_id,
                "Name": name,
                "Address": address,
                "Port": port,
                "Tags": list(tags),
                "Meta": dict(meta or {}),
                **({"Weights": {"Passing": weight, "Warning": 1}} if weight else {}),
            },
        )
        return service_id

    def deregister(self, service_id: str) -> None:
        self.put(f"/v1/agent/service/deregister/{urllib.parse.quote(service_id, safe='')}")

    # --- inside ----------------------------------------------------------------------------------------------------

    def _base_config(self, ports: Mapping[str, int]) -> dict[str, object]:
        return {
            "node_name": self.node_name,
            "bind_addr": self.host,
            "advertise_addr": self.host,
            "client_addr": self.host,
            "ports": {"https": -1, "grpc": -1, "dns": -1, "serf_wan": -1, **ports},
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "log_level": "info",
        }

    def _write_config(self, name: str, text: str) -> None:
        path = self.directory / "config" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def _ready(self) -> bool:
        leader = self.request("GET", "/v1/status/leader")
        if leader.status != 200 or not leader.json():
            return False
        key = "/v1/kv/.started"
        written = self.request("PUT", key, "")
        if written.status == 403 and self.token is None:
            return True  # access control denies us, which takes a working store
        if written.status != 200 or self.request("DELETE", key).status != 200:
            return False
        nodes = self.request("GET", f"/v1/catalog/node/{urllib.parse.quote(self.node_name)}")
        return nodes.status == 200 and nodes.json() is not None
