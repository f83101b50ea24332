"""`registrar drain CONTAINER`: out of rotation before the stop, so that the stop finds no traffic any more."""

from catalog.model import META_CONTAINER
from engine.errors import Unreadable
from registrar.core import drains
from registrar.core.registered import owned
from registrar.shell.protocols import Agent, Engine


class NothingToDrain(Exception):
    """No container of that name, or none of its services is registered."""


def drain(engine: Engine, agent: Agent, owner: str, name: str, undo: bool) -> tuple[str, ...]:
    """Put every service of a container into maintenance until the container ends (or end that); their ids.

    A service that an operator has put into maintenance stays as it is.
    """
    try:
        container = engine.inspect(name)
    except Unreadable as fault:
        raise NothingToDrain(str(fault)) from None
    if container is None:
        raise NothingToDrain("there is no such container")
    ids = [key for key, service in sorted(owned(agent.agent_services(), owner).items())
           if service.meta_value(META_CONTAINER) == container.id]
    if not ids:
        raise NothingToDrain(f"none of its services is registered by {owner}")
    checks = agent.agent_checks()
    for service_id in ids:
        check = checks.get(f"{drains.MAINTENANCE}{service_id}")
        if check is None and not undo:
            agent.agent_maintenance(service_id, drains.by_hand(container))
        elif check is not None and drains.is_ours(str(check.get("Notes") or "")):
            # Also in place of a drain of the agent's own, which would end by itself.
            agent.agent_maintenance(service_id, "")
            if not undo:
                agent.agent_maintenance(service_id, drains.by_hand(container))
    return tuple(ids)
