"""What can go wrong with a change, each with the HTTP status that says whose problem it is. Core."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one parameter or setting."""

    name: str
    fault: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name}: {self.fault}; {self.wanted}"


class ProxyError(Exception):
    """A change that did not happen. `status` is the HTTP status of the answer."""

    status = 500


class InvalidRequest(ProxyError):
    """The caller's parameters; all their faults at once."""

    status = 400

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(". ".join(str(f) for f in faults))
        self.faults = faults


class InvalidTemplate(ProxyError):
    """A template file that is not there, cannot be read, or cannot be rendered."""

    status = 400


class ConfigRejected(ProxyError):
    """HAProxy refused the configuration; the text is its own alert lines."""

    status = 400


class Refused(ProxyError):
    """Consul refused what the change needs, and would again; the text is its own."""

    status = 400


class Unauthorized(ProxyError):
    """The call changes something and carries no valid token."""

    status = 401


class UnknownService(ProxyError):
    """The service is not configured at this proxy, and the removal was strict or a dry run."""

    status = 404


class NewerThanThis(ProxyError):
    """The service's record is of a version that knows what this one does not: to replace it would lose that."""

    status = 409


class WouldEmpty(ProxyError):
    """A release with servers would be replaced by one with none, on the word of a single read."""

    status = 409


class TooLarge(ProxyError):
    """The release does not fit into one Consul value."""

    status = 413


class ApplyFailed(ProxyError):
    """HAProxy did not take over a configuration that its check had accepted."""

    status = 500


class Unavailable(ProxyError):
    """Consul, or the recovery from it, is not there yet: nothing was changed, ask again."""

    status = 503


class InvalidSettings(Exception):
    """Settings that cannot be used; the text names each and what would be right."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(f) for f in faults))
        self.faults = faults
