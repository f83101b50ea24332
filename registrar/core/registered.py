"""What Consul holds, as it was last read and written. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from catalog.model import META_CONTAINER, META_OWNER, AgentService


@dataclass(frozen=True, slots=True)
class Registered:
    """Every service by its id, and the reasons of those in maintenance; whoever registered them.

    `doubts` are reasons not to take this for the truth, `questions` the services whose owner is asked for, and since
    when. `stale`: it is known to be none, and has to be read again.
    """

    services: Mapping[str, AgentService]
    maintenance: Mapping[str, str]
    doubts: tuple[str, ...] = ()
    questions: Mapping[str, float] = field(default_factory=dict)
    stale: bool = False

    def owned(self, owner: str) -> dict[str, AgentService]:
        """The entries that carry this owner's mark."""
        return owned(self.services, owner)

    def containers_of(self, owner: str) -> frozenset[str]:
        """The ids of the containers that this owner has registered something for."""
        return frozenset(s.meta_value(META_CONTAINER) for s in self.owned(owner).values()) - {""}

    def reason(self, service_id: str) -> str:
        """Why a service is in maintenance, "" where it is not, or not there."""
        return self.maintenance.get(service_id, "") if service_id in self.services else ""

    def reasons(self) -> dict[str, str]:
        """Why each service is in maintenance, "" where it is not."""
        return {key: self.maintenance.get(key, "") for key in self.services}

    def reasons_of_containers(self) -> frozenset[tuple[str, str]]:
        """Each container that has something in maintenance, and the reason."""
        return frozenset((self.services[key].meta_value(META_CONTAINER), why)
                         for key, why in self.maintenance.items() if key in self.services)

    def with_services(self, entries: Iterable[AgentService]) -> "Registered":
        return replace(self, services={**self.services, **{entry.id: entry for entry in entries}})

    def without(self, service_ids: Iterable[str]) -> "Registered":
        gone = frozenset(service_ids)
        return replace(self, services={key: one for key, one in self.services.items() if key not in gone},
                       maintenance={key: why for key, why in self.maintenance.items() if key not in gone},
                       questions={key: since for key, since in self.questions.items() if key not in gone})

    def asked(self, since: Mapping[str, float], answered: Iterable[str]) -> "Registered":
        over = frozenset(answered)
        return replace(self, questions={k: at for k, at in {**self.questions, **since}.items() if k not in over})

    def held(self, reasons: Mapping[str, str]) -> "Registered":
        return replace(self, maintenance={**self.maintenance, **reasons})

    def released(self, service_ids: Iterable[str]) -> "Registered":
        ids = frozenset(service_ids)
        return replace(self, maintenance={key: why for key, why in self.maintenance.items() if key not in ids})


def is_owned(service: AgentService, owner: str) -> bool:
    return service.meta_value(META_OWNER) == owner


def owned(services: Mapping[str, AgentService], owner: str) -> dict[str, AgentService]:
    """The entries that carry this owner's mark."""
    return {key: service for key, service in services.items() if is_owned(service, owner)}
