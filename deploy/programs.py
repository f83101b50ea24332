"""Portbook's own two programs as child processes, started by their documented contract and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from deploy.net import Reply, free_port, free_ports, http_get, http_request, loopback_address
from deploy.process import Process
from deploy.waiting import wait_until

API = "/v1/docker-flow-proxy/"


class Answer(NamedTuple):
    """An answer of the API: `status, document = proxy.api("reconfigure", ...)`. Text that is no JSON stays text."""

    status: int
    json: Any


class RegistrarProcess(Process):
    """`with RegistrarProcess(consul.address, "node-1", "127.1.2.3", "--resync", "5"):` runs a registrar.

    http=True gives it an address for /health, /ready and /metrics, which get() asks.
    """

    def __init__(
        self,
        consul: str,
        node_id: str,
        ip: str | None,
        *flags: str,
        env: Mapping[str, str] | None = None,
        http: bool = False,
        log: Path | None = None,
        outlive: bool = False,
    ) -> None:
        self.node_id = node_id
        self.http = ""
        words = [sys.executable, "-m", "registrar", "--node-id", node_id]
        if ip is not None:
            words += ["-ip", ip]
        if http:
            host = loopback_address()
            self.http = f"{host}:{free_port(host)}"
            words += ["--http", self.http]
        registry = consul if "://" in consul else f"consul://{consul}"
        super().__init__([*words, *flags, registry], env=env, log=log, name=f"registrar-{node_id}", outlive=outlive)

    def get(self, path: str) -> Reply:
        return http_get(f"http://{self.http}{path}")

    def wait_ready(self, deadline_s: float = 20.0) -> Self:
        """Waits for /ready; needs http=True."""
        self.wait_until(lambda: self.get("/ready").status == 200, deadline_s, "registrar's /ready answers 200")
        return self


class ProxyProcess:
    """`with ProxyProcess(consul.address) as proxy:` runs proxy-api and its HAProxy; ready when the block begins.

    It is the whole of one proxy: start() after kill9() and wipe() is the same proxy on an empty disk. Another
    ProxyProcess with the same Consul and instance name is the failover on another node. `follow` and the like go into
    `env`, under their documented names.
    """

    def __init__(
        self,
        consul_address: str,
        instance: str = "docker-flow",
        *,
        configs_path: Path | None = None,
        address: str | None = None,
        env: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        templates: Path | None = None,
        tls: bool = False,
        log: Path | None = None,
        outlive: bool = False,
    ) -> None:
        self.consul_address = consul_address
        self.instance = instance
        self.address = address or loopback_address()
        self.api_port, self.port, self.tls_port = free_ports(3, self.address)
        # Short and not below TMPDIR: sockets live here, and a socket's path must stay below 108 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp"))
        self.configs_path = configs_path or self.directory / "cfg"
        self.certs_path = self.directory / "certs"
        self.templates_path = templates or self.directory / "templates"
        for folder in (self.configs_path, self.certs_path, self.templates_path):
            folder.mkdir(parents=True, exist_ok=True)
        ports = f"{self.address}:{self.port}" + (f",{self.address}:{self.tls_port}:ssl" if tls else "")
        self.env = {
            "CONSUL_ADDRESS": consul_address,
            "PROXY_INSTANCE_NAME": instance,
            "IP": self.address,
            "PORT": str(self.api_port),
            "DEFAULT_PORTS": ports,
            "CONFIGS_PATH": str(self.configs_path),
            "CERTS_PATH": str(self.certs_path),
            "CONSUL_TEMPLATES_PATH": str(self.templates_path),
            **(env or {}),
        }
        self.flags = list(flags)
        self.log = log or self.directory / "proxy-api.log"
        self.outlive = outlive
        self._process: Process | None = None

    @property
    def api_url(self) -> str:
        return f"http://{self.address}:{self.api_port}"

    @property
    def url(self) -> str:
        """Where HAProxy serves plain HTTP."""
        return f"http://{self.address}:{self.port}"

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def process(self) -> Process:
        """The supervisor."""
        if self._process is None:
            raise RuntimeError("this proxy was not started")
        return self._process

    # --- its life --------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Starts it, and waits for nothing: see wait_ready."""
        self._process = Process(
            [sys.executable, "-m", "proxy_api", "serve", *self.flags],
            env=self.env,
            log=self.log,
            name="proxy-api",
            outlive=self.outlive,
        )
        return self

    def wait_ready(self, deadline_s: float = 30.0) -> Self:
        """Waits until /ready answers 200: state is recovered and HAProxy serves it."""
        self.process.wait_until(self._is_ready, deadline_s, "/ready answers 200")
        return self

    def wait_api(self, deadline_s: float = 30.0) -> Self:
        """Waits until the API answers at all, ready or not."""
        self.process.wait_until(lambda: self.api("ping").status == 200, deadline_s, "ping answers 200")
        return self

    def stop(self, deadline_s: float = 20.0) -> None:
        """SIGTERM to the supervisor, as an orchestrator would; then whatever is left is killed."""
        if self._process is not None:
            self._process.stop(deadline_s)
        self.kill9()

    def kill9(self) -> None:
        """kill -9 of everything: the supervisor first, so that it restarts nothing, then gunicorn and HAProxy."""
        if self._process is not None and self._process.running:
            self._process.kill()

        def all_gone() -> bool:
            remaining = self.pids()
            for pid in remaining:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended meanwhile
            return not remaining

        wait_until(all_gone, 10, f"no process of the proxy at {self.configs_path} is left")

    def wipe(self) -> None:
        """Empties its disk: what a new node would start with. The operator's templates stay."""
        for folder in (self.configs_path, self.certs_path):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start().wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.close()

    # --- its processes ---------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """All that run for this proxy: they inherit its CONFIGS_PATH, and HAProxy has it in its command line too.

        A HAProxy whose supervisor was killed belongs to init by then, so descent would not find it.
        """
        path = os.fsencode(self.configs_path)
        setting = b"CONFIGS_PATH=" + path
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended, or it is another user's
            if setting in environment or any(word == path or word.startswith(path + b"/") for word in command):
                found.append(int(folder.name))
        return sorted(found)

    def haproxy_pids(self) -> list[int]:
        """HAProxy's master and workers, lowest pid first."""
        return self.named("haproxy")

    def named(self, *names: str) -> list[int]:
        """Those of its processes that have one of these names: haproxy, writer, api (gunicorn's master and worker)."""
        return [pid for pid in self.pids() if _command_name(pid) in names]

    # --- talking to it ---------------------------------------------------------------------------------------------

    def api(self, path: str, /, **parameters: object) -> Answer:
        """GET of one of the API's calls: proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo").

        A path that begins with / is taken as it is: proxy.api("/ready").
        """
        return self.call("GET", path, parameters)

    def post(self, path: str, /, **parameters: object) -> Answer:
        """The same with POST, parameters in the query."""
        return self.call("POST", path, parameters)

    def call(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        url = self.api_url + (path if path.startswith("/") else API + path)
        if parameters:
            url += "?" + urllib.parse.urlencode({name: _as_text(value) for name, value in parameters.items()})
        reply = http_request(method, url, headers=headers, timeout=timeout)
        try:
            return Answer(reply.status, reply.json())
        except ValueError:
            return Answer(reply.status, reply.body)

    def get(self, path: str, host: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """A client's request through HAProxy; `host` is the Host header."""
        return http_get(self.url + path, headers, host)

    def instances(self, path: str, host: str | None = None, requests: int = 30) -> set[str]:
        """Which go-demo containers answer there: the X-Instance headers of so many requests that gave 200."""
        replies = [self.get(path, host) for _ in range(requests)]
        return {str(reply.headers["X-Instance"]) for reply in replies if reply.status == 200}

    def tail(self) -> str:
        """The end of its output, for messages."""
        return self.process.tail()

    def _is_ready(self) -> bool:
        status, document = self.api("/ready")
        # In the message of a wait that fails, the reason that /ready gives.
        assert status == 200, f"/ready answers {status}: {document}"
        return True


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
