"""How an engine fails: unknown is not "none". Pure."""


class EngineUnavailable(Exception):
    """The engine could not be asked: which containers run is unknown, not "none"."""


class Unreadable(Exception):
    """The engine answers, but not about this one container."""

    def __init__(self, container_id: str, reason: str) -> None:
        super().__init__(f"container {container_id[:12]} cannot be inspected: {reason}")
        self.container_id = container_id


class SwarmUnavailable(Exception):
    """The engine answers, but its swarm does not: what its services say is unknown."""
