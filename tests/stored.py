"""What a proxy instance has in Consul, but for the marker and the key that every commit moves."""

from __future__ import annotations

from deploy.local import ConsulServer


def stored(consul: ConsulServer, instance: str = "docker-flow") -> dict[str, str]:
    """The keys of an instance's services."""
    return {key: value for key, value in consul.kv(f"{instance}/").items()
            if key not in (f"{instance}/.portbook", f"{instance}/.commit")}
