"""What all containers bring, each worked out again only when what it is made from has changed. Pure."""

from typing import Any

from engine.container import Container
from registrar.core.endpoints import Node
from registrar.core.running import Running
from registrar.core.services import Offer, services_of
from registrar.core.tag_templates import LookUp, nothing_yet
from registrar.core.wishes import Wishes


class Offers:
    """The offers of the containers that were last asked about, and what each is made from."""

    def __init__(self, wishes: Wishes, look_up: LookUp = nothing_yet) -> None:
        self._wishes, self._look_up = wishes, look_up
        self._known: dict[str, tuple[tuple[Any, ...], Offer]] = {}

    def of(self, running: Running, node: Node, pages: int) -> tuple[Offer, ...]:
        """What each container brings to this node; `pages` is the number of the web pages' state."""
        self._known = {key: self._offer(container, running.target_of(container), node, pages)
                       for key, container in running.containers.items()}
        return tuple(offer for _, offer in self._known.values())

    def _offer(self, container: Container, target: Container | None, node: Node, pages: int,
               ) -> tuple[tuple[Any, ...], Offer]:
        made_from = container, container.document, target, node, pages
        known = self._known.get(container.id)
        if known and known[0] == made_from:
            return known
        return made_from, services_of(container, target, node, self._wishes, self._look_up)
