"""Inspect documents and containers in the shape that Docker Engine 20.10 gives them, for tests without an engine."""

from typing import Any

from engine.container import Container, from_inspect, said_by_image
from registrar.core.endpoints import Node
from registrar.core.settings import Settings, read_settings

NODE = Node("n1", "10.0.0.5", "")
WILD = "0.0.0.0"


def document(**changes: Any) -> dict[str, Any]:
    """A running container on the default bridge that publishes nothing; `changes` name what is different.

    ports: NetworkSettings.Ports, with bindings as (ip, port) pairs; exposed, env, labels, mode, networks, state, image…
    """
    networks = changes.get("networks", {"bridge": "172.17.0.2"})
    bound = {key: None if pairs is None else [{"HostIp": ip, "HostPort": str(port)} for ip, port in pairs]
             for key, pairs in changes.get("ports", {}).items()}
    return {
        "Id": changes.get("id", "c" * 64),
        "Name": "/" + changes.get("name", "web_1"),
        "Created": changes.get("created", "2026-11-21T11:00:00Z"),
        "Image": changes.get("image_id", "sha256:" + "ab" * 32),
        "State": {"Status": "running", "Running": True, "Paused": False, "Restarting": False, "Pid": 4711,
                  "ExitCode": 0} | changes.get("state", {}),
        "Config": {
            "Image": changes.get("image", "vfarcic/go-demo"),
            "Env": [f"{k}={v}" for k, v in changes.get("env", {}).items()],
            "Labels": changes.get("labels", {}),
            "Healthcheck": changes.get("healthcheck"),
            "StopSignal": changes.get("stop_signal", ""),
            "StopTimeout": changes.get("stop_timeout"),
            "ExposedPorts": {key: {} for key in changes.get("exposed", bound)} or None,
        },
        "HostConfig": {"NetworkMode": changes.get("mode", "default"),
                       "PortBindings": {key: [] for key in changes.get("asked", ())}},
        "NetworkSettings": {
            "IPAddress": "", "Ports": bound,
            "Networks": {name: {"IPAddress": ip if ":" not in ip else "",
                                "GlobalIPv6Address": ip if ":" in ip else ""} for name, ip in networks.items()},
        },
    }


def container(**changes: Any) -> Container:
    made = document(**changes)
    return from_inspect(made, changes.get("image_tags", ()), True,
                        said_by_image(made["Config"], changes.get("image_config", {})))


def settings(*flags: str) -> Settings:
    return read_settings([*flags, "consul://127.0.0.1:8500"], {})
