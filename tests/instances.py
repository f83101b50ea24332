"""Instances as a registrar would register them."""

from __future__ import annotations

from deploy.local import ConsulServer
from deploy.origin import Origin


def add(consul: ConsulServer, service: str, origin: Origin) -> str:
    """Register the origin as the container of a service; its id."""
    return consul.register(service, origin.host, origin.port, id=f"n:{service}_{origin.name}:8080",
                           meta={"registrar-container": f"c-{origin.name}"})
