"""What a service is called when nobody named it, and its id. Pure."""

import re

from engine.container import Container, Port

_NOT_IN_DNS = re.compile(r"[^A-Za-z0-9_-]+")
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

# Where an image was given by its id, these labels name the service (docker compose, docker stack).
SWARM_SERVICE = "com.docker.swarm.service.name"
SERVICE_LABELS = ("com.docker.compose.service", SWARM_SERVICE)


def image_name(image: str) -> str:
    """The last element of an image's path, without tag and digest.

    >>> image_name("localhost:5000/team/web:2.1@sha256:0123")
    'web'
    """
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def default_name(container: Container) -> str:
    """The name of a service whose container does not name it; always fit for DNS."""
    candidates = (
        image_name(container.image),
        *(container.label(key) for key in SERVICE_LABELS),
        *(image_name(tag) for tag in sorted(container.image_tags)),
        container.name,
    )
    return next(filter(None, (dns_name(c) for c in candidates)), "service")


def dns_name(text: str) -> str:
    """`text` with whatever would break a DNS lookup replaced."""
    return _NOT_IN_DNS.sub("-", text).strip("-")


def default_id(node_id: str, container: Container, port: Port, shared: bool = False) -> str:
    """`<node-id>:<container-name>:<exposed-port>[:udp]`, Registrator's form with a stable first part.

    What all tasks of a swarm's service share is called after the service.
    """
    protocol = "" if port.protocol == "tcp" else f":{port.protocol}"
    name = (shared and container.label(SWARM_SERVICE)) or container.name
    return f"{node_id}:{name}:{port.number}{protocol}"


def read_node_id(text: str) -> str:
    if not _NODE_ID.fullmatch(text):
        raise ValueError("give 1 to 128 letters, digits, '.', '_' or '-', a letter or digit first")
    return text


def node_id_from(engine_name: str) -> str:
    """A node id from whatever the engine calls itself."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", engine_name).lstrip("_.-")[:128]
    return cleaned or "docker"


def read_custom_id(text: str) -> str:
    """A service id given by hand. It has to survive a URL's path, so no empty, "." or ".." between slashes."""
    word = text.strip()
    if not word.isprintable() or len(word) > 256 or any(part in ("", ".", "..") for part in word.split("/")):
        raise ValueError("give up to 256 printable characters that make no relative path")
    return word
