"""Real containers for tests, demo and bench, removed when their block ends."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Self

import docker
from docker.errors import NotFound

from deploy.go_demo import IMAGE
from deploy.net import Reply, http_get
from deploy.waiting import wait_until

# A host port for each exposed one: None for a random one, a number, or (address, number or None).
Ports = Mapping[int | str, int | tuple[str, int | None] | None]


class Container:
    """`with Container() as demo:` runs a go-demo published on a random port, which answers when the block begins.

    Its name is unique unless one is given. `ports` maps exposed to published ports ({8080: None}); `exposed` names
    further ports that are exposed only; `network` is "host", "none" or the name of a network. Any other image is taken
    as it is, and not waited for.
    """

    def __init__(
        self,
        image: str = IMAGE,
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ports: Ports | None = None,
        exposed: Sequence[str] = (),
        network: str | None = None,
        command: Sequence[str] | None = None,
        hostname: str | None = None,
    ) -> None:
        self.name = name or f"go-demo-{secrets.token_hex(4)}"
        self.id = ""
        self._client: Any = docker.APIClient(version="auto", timeout=60, **docker.utils.kwargs_from_env())
        published: Ports = {8080: None} if ports is None and network not in ("host", "none") else ports or {}
        self._waits = image == IMAGE and 8080 in published
        try:
            self.id = self._client.create_container(
                image,
                name=self.name,
                command=list(command) if command is not None else None,
                hostname=hostname,
                environment=dict(env or {}),
                labels=dict(labels or {}),
                ports=[_port_and_protocol(port) for port in [*published, *exposed]],
                host_config=self._client.create_host_config(port_bindings=dict(published), network_mode=network),
            )["Id"]
        except BaseException:
            self._client.close()
            raise

    # --- its life --------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        self._client.start(self.id)
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        self._client.stop(self.id, timeout=10)

    def kill(self) -> None:
        self._client.kill(self.id)

    def restart(self) -> None:
        """Stops and starts it: the same container, with another random port."""
        self._client.restart(self.id, timeout=10)
        self._wait_until_it_answers()

    def pause(self) -> None:
        self._client.pause(self.id)

    def unpause(self) -> None:
        self._client.unpause(self.id)

    def rename(self, name: str) -> None:
        self._client.rename(self.id, name)
        self.name = name

    def remove(self) -> None:
        """Ends and removes it, if it is still there."""
        with contextlib.suppress(NotFound):
            self._client.remove_container(self.id, force=True, v=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self.remove()
        self._client.close()

    # --- what it is ------------------------------------------------------------------------------------------------

    def inspect(self) -> dict[str, Any]:
        document: dict[str, Any] = self._client.inspect_container(self.id)
        return document

    @property
    def running(self) -> bool:
        return bool(self.inspect()["State"]["Running"])

    def port(self, exposed: int | str = 8080) -> int:
        """The host's port that this one is published on; KeyError if it is not, or the container does not run."""
        bindings = self.inspect()["NetworkSettings"]["Ports"].get("/".join(_port_and_protocol(exposed)))
        if not bindings:
            raise KeyError(f"{exposed} of {self.name} is not published")
        return int(bindings[0]["HostPort"])

    def ip(self, network: str | None = None) -> str:
        """Its own address, in the named network or the first one that it is in."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        return str((networks[network] if network else next(iter(networks.values())))["IPAddress"])

    @property
    def instance(self) -> str:
        """What its X-Instance header says."""
        config = self.inspect()["Config"]
        named = [entry.partition("=")[2] for entry in config["Env"] or [] if entry.startswith("INSTANCE=")]
        return named[0] if named else str(config["Hostname"])

    def get(self, path: str = "/demo/hello") -> Reply:
        """A request to the container itself, past any proxy."""
        return http_get(f"http://127.0.0.1:{self.port()}{path}")

    def logs(self) -> str:
        text: bytes = self._client.logs(self.id)
        return text.decode(errors="replace")

    def _wait_until_it_answers(self) -> None:
        if self._waits:
            wait_until(lambda: self.get().status == 200, 20, f"{self.name} answers")


def _port_and_protocol(port: int | str) -> tuple[str, str]:
    number, _, protocol = str(port).partition("/")
    return number, protocol or "tcp"


@contextlib.contextmanager
def network(name: str | None = None) -> Any:
    """A bridge network of one's own for the block; gives its name."""
    client: Any = docker.APIClient(version="auto", timeout=60, **docker.utils.kwargs_from_env())
    chosen = name or f"pb-{secrets.token_hex(4)}"
    try:
        client.create_network(chosen, driver="bridge")
        try:
            yield chosen
        finally:
            client.remove_network(chosen)
    finally:
        client.close()
