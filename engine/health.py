"""What a container's HEALTHCHECK says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
DEFAULT_RETRIES = 3
_MAX_OUTPUT = 300


@dataclass(frozen=True, slots=True)
class Health:
    """What the engine's own probe says."""

    status: str
    output: str = ""


def read_health(config: Mapping[str, Any], state: Mapping[str, Any]) -> Health | None:
    """The health of a container, None where it has no HEALTHCHECK.

    The engine says "unhealthy" also of a container whose probe it has stopped, as it does during a pause. The number
    of failures in a row tells that from a real one.
    """
    said = state.get("Health") or {}
    status = said.get("Status") or "none"
    if status not in (STARTING, HEALTHY, UNHEALTHY):
        return None
    log = said.get("Log") or ()
    retries = int((config.get("Healthcheck") or {}).get("Retries") or DEFAULT_RETRIES)
    if status == UNHEALTHY and int(said.get("FailingStreak") or 0) < retries:
        status = HEALTHY if any(probe.get("ExitCode") == 0 for probe in log) else STARTING
    output = str(log[-1].get("Output") or "") if log else ""
    return Health(status, " ".join(output.split())[:_MAX_OUTPUT])
