"""The Docker engine: its name, its containers, its services, its events. The only importer of `docker`.

Whatever the SDK and its transport raise becomes EngineUnavailable, or Unreadable for one container. Each thread
has an engine of its own, because the SDK's client is a `requests` session.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, TypeVar
from urllib.parse import quote

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.transport import UnixHTTPAdapter

from engine.container import Container, from_inspect, is_image_id, said_by_image
from engine.errors import EngineUnavailable, SwarmUnavailable, Unreadable
from engine.events import FILTERS, Event, read_event
from engine.swarm import SwarmService, from_service

T = TypeVar("T")

TIMEOUT_S = 5
DEFAULT_SOCKET = "/var/run/docker.sock"
# What an engine answers differs from version to version of its API. Newer engines speak older versions for years; one
# that has given this up is spoken to in the oldest that it knows.
TRIED_API = "1.41"
OLDEST_API = "1.24"  # given where no version is needed, so that nothing is asked
REGISTRATORS_SOCKET = "/tmp/docker.sock"  # where Registrator's users mount it

_NO_MANAGER = ("not a swarm manager", "not part of a swarm")  # 503, as when a swarm has lost its managers


class _Silent(EngineUnavailable):
    """The engine took the question and gave no answer in time."""


class _OneSocket(UnixHTTPAdapter):  # type: ignore[misc]
    """The SDK's transport to a socket, with the connections kept: it has a pool for each URL, of which few return."""

    def get_connection(self, url: str, proxies: object = None) -> Any:
        return super().get_connection("the engine")


class _Client(docker.APIClient):  # type: ignore[misc]
    """The SDK's client, but over a socket a plain question costs what it has to: no cookies, redirects and hooks, which
    take half of the time, and connections are kept.
    """

    _plain: requests.PreparedRequest | None = None

    def __init__(self, **wanted: Any) -> None:
        super().__init__(**wanted)
        adapter = self.get_adapter(self.base_url)
        if isinstance(adapter, UnixHTTPAdapter):
            self.mount(self.base_url, _OneSocket(adapter.socket_path, TIMEOUT_S))
            self._plain = requests.Request("GET", self.base_url).prepare()

    def get(self, url: str, timeout: float | None = None, **more: Any) -> requests.Response:
        if more or self._plain is None:
            return super().get(url, timeout=timeout, **more)  # type: ignore[no-any-return]
        question = copy(self._plain)
        question.url = url
        return self.get_adapter(url).send(question, timeout=timeout)  # type: ignore[no-any-return]


class DockerEngine:
    """A connection to the engine, made when it is first needed and again after each failure."""

    def __init__(self, environ: Mapping[str, str], keep_documents: bool = False,
                 is_the_images: Callable[[str], bool] = lambda key: False) -> None:
        """`is_the_images` tells the labels and variables of which it has to be known whether the image says them."""
        self._environ, self._keep_documents, self._is_the_images = environ, keep_documents, is_the_images
        self._client: docker.APIClient | None = None
        self._stream: Any = None

    def engine_name(self) -> str:
        """The name of the machine, as the engine has it."""
        return str(self._ask(lambda client: client.info()).get("Name") or "")

    def swarm_address(self) -> str:
        """The address by which the other nodes of a swarm know this one; "" without a swarm."""
        return str((self._ask(lambda client: client.info()).get("Swarm") or {}).get("NodeAddr") or "")

    def announces_stops(self) -> bool:
        """Whether the engine tells when a container is told to stop, and not only when it has ended."""
        return announces_stops(self._ask(lambda client: client.version(api_version=False)))

    def running(self, labels: Sequence[str]) -> frozenset[str]:
        """The ids of the containers that run and carry all the labels."""
        filters = {"label": list(labels)} if labels else None
        return frozenset(c["Id"] for c in self._ask(lambda client: client.containers(quiet=True, filters=filters)))

    def swarm_services(self) -> Mapping[str, SwarmService] | None:
        """What the services of the swarm say, by their ids; None where this engine is no manager or does not tell.

        Raises SwarmUnavailable where it should know and cannot say.
        """
        try:
            found = self._call(lambda client: client.services())
        except APIError as fault:
            if fault.status_code in (403, 404, 406) or any(sign in str(fault.explanation) for sign in _NO_MANAGER):
                return None
            raise SwarmUnavailable(f"the swarm does not answer: {_short(fault)}") from None
        return {service.id: service for service in map(from_service, found)}

    def inspect(self, container_id: str) -> Container | None:
        """What the engine says of one container now; None where it is gone. Raises Unreadable for this one alone."""
        try:
            document = self._call(lambda client: client.inspect_container(quote(container_id, safe="")))
            tags, from_image = self._image_says(document)
            return from_inspect(document, tags, self._keep_documents, from_image)
        except NotFound:
            return None
        except APIError as fault:
            raise Unreadable(container_id, _short(fault)) from None
        except ValueError as fault:
            raise Unreadable(container_id, str(fault)) from None
        except _Silent:
            # A container whose start or stop hangs is locked inside the engine. It must not hold up the others.
            self._ask(lambda client: client.ping())
            raise Unreadable(container_id, "no answer in time") from None

    def inspect_all(self, container_ids: Iterable[str]) -> Iterator[tuple[str, Container | Unreadable | None]]:
        """`inspect` of many, in their order. Raises EngineUnavailable where the engine does not answer at all."""
        for container_id in container_ids:
            try:
                yield container_id, self.inspect(container_id)
            except Unreadable as fault:
                yield container_id, fault

    def events(self, connected: Callable[[], None]) -> Iterator[Event]:
        """What happens, without end.

        `connected` is called once the engine has accepted the subscription: what is listed after that misses
        nothing. The stream has no time-out, and the death of the engine just ends it.
        """
        try:
            self._stream = self._ask(lambda client: client.events(decode=True, filters=FILTERS))
            # The SDK looks at the status only when it reads the first event, which may be hours from now.
            self._stream._response.raise_for_status()
            connected()
            for event in self._stream:
                if known := read_event(event):
                    yield known
        except (OSError, ValueError, requests.RequestException, urllib3.exceptions.HTTPError) as fault:
            raise EngineUnavailable(f"the event stream broke: {type(fault).__name__}") from None
        finally:
            self.close()
        raise EngineUnavailable("the event stream ended")

    def interrupt(self) -> None:
        """Let `events` end, from another thread: a stream that hangs would not notice by itself."""
        try:
            if self._stream is not None:
                self._stream.close()
        except (AttributeError, OSError, DockerException):
            pass  # it has ended meanwhile

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _image_says(self, document: Mapping[str, Any]) -> tuple[Sequence[str], frozenset[tuple[bool, str]]]:
        """The names of an image that was started by its id, and what of a container's words are the image's."""
        config = document.get("Config") or {}
        unnamed = is_image_id(config.get("Image") or "", document.get("Image") or "")
        keys = (*(config.get("Labels") or ()), *(entry.partition("=")[0] for entry in config.get("Env") or ()))
        matters = any(map(self._is_the_images, keys))
        if not (unnamed or matters):
            return (), frozenset()
        try:
            found = self._call(lambda client: client.inspect_image(document["Image"]))
        except APIError:  # it may not be asked for, or has gone
            found = {}
        return (found.get("RepoTags") or () if unnamed else (),
                said_by_image(config, found.get("Config")) if matters else frozenset())

    def _ask(self, question: Callable[[docker.APIClient], T]) -> T:
        try:
            return self._call(question)
        except APIError as fault:
            raise EngineUnavailable(f"the Docker engine refused: {_short(fault)}") from None

    def _call(self, question: Callable[[docker.APIClient], T]) -> T:
        """Ask the engine; an answer that is an error stays an APIError, no answer is EngineUnavailable."""
        try:
            if self._client is None:
                self._client = self._connect()
            return question(self._client)
        except APIError:
            raise
        except (requests.ReadTimeout, TimeoutError):
            self.close()
            raise _Silent("the Docker engine does not answer: no answer in time") from None
        except (DockerException, requests.RequestException, OSError, ValueError) as fault:
            self.close()
            raise EngineUnavailable(f"the Docker engine does not answer: {_cause(fault)}") from None

    def _connect(self) -> docker.APIClient:
        wanted = docker.utils.kwargs_from_env(environment=dict(self._environ) or None)
        if not self._environ.get("DOCKER_HOST") and not os.path.exists(DEFAULT_SOCKET) \
                and os.path.exists(REGISTRATORS_SOCKET):
            wanted["base_url"] = f"unix://{REGISTRATORS_SOCKET}"
        with contextlib.closing(_client(OLDEST_API, wanted)) as probe:
            spoken = self._environ.get("DOCKER_API_VERSION") or api_version(probe.version(api_version=False))
        return _client(spoken, wanted)


def _client(version: str, wanted: Mapping[str, Any]) -> docker.APIClient:
    client = _Client(version=version, timeout=TIMEOUT_S, **wanted)
    # Or else REQUESTS_CA_BUNDLE, meant for the rest of the world, would take the place of DOCKER_CERT_PATH's authority.
    client.trust_env = False
    if not client.base_url.startswith("http+docker"):  # no proxy stands before a socket
        client.proxies = requests.utils.get_environ_proxies(client.base_url)
    return client


def announces_stops(engine: Mapping[str, Any]) -> bool:
    """Whether an engine does, by its `/version`: podman has no event for it at its Docker socket."""
    return not any("podman" in str(part.get("Name")).lower() for part in engine.get("Components") or ())


def api_version(engine: Mapping[str, Any]) -> str:
    """The version of the API to speak, by the engine's `/version`: the tried one, if it is among those it speaks."""
    newest, oldest = (tuple(int(part) for part in str(engine.get(key) or TRIED_API).split("."))
                      for key in ("ApiVersion", "MinAPIVersion"))
    tried = tuple(int(part) for part in TRIED_API.split("."))
    return ".".join(map(str, max(min(tried, newest), oldest)))


def _short(fault: APIError) -> str:
    status = fault.response.status_code if fault.response is not None else ""
    return f"{status} {str(fault.explanation or '')[:200]}".strip()


def _cause(fault: Exception) -> str:
    """A short cause: the SDK wraps a refused connection four exceptions deep."""
    text = repr(fault)
    for sign, meaning in (("SSL", "TLS could not be agreed on with the certificates in DOCKER_CERT_PATH"),
                          ("FileNotFound", "no such socket"), ("Permission", "permission denied"),
                          ("refused", "connection refused"), ("Timeout", "no connection in time"),
                          ("RemoteDisconnected", "connection closed"), ("reset", "connection reset")):
        if sign in text:
            return meaning
    return f"{type(fault).__name__}: {str(fault)[:200]}"
