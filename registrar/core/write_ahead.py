"""Registrations that are sent while the rest of the engine is still looked at: at start, Consul need not wait. Pure."""

import contextlib
from collections.abc import Callable

from catalog.errors import CatalogError
from registrar.core.registration import Registration

Send = Callable[[], None]
Begin = Callable[[Send], Send]  # begins a write; what it gives waits for its end, and raises what the write raised


class WriteAhead:
    """What was sent ahead of the pass that it belongs to."""

    def __init__(self, begin: Begin | None) -> None:
        self._begin = begin
        self._sent: dict[str, tuple[Registration, Send]] = {}

    @property
    def possible(self) -> bool:
        return self._begin is not None

    def send(self, registration: Registration, write: Send) -> None:
        """Begin a write, unless one for the same id was begun."""
        if self._begin and registration.id not in self._sent:
            self._sent[registration.id] = registration, self._begin(write)

    def take(self, registration: Registration) -> Send | None:
        """The end of exactly this registration's write; None where it was not sent.

        Where another one was sent for its id, that has ended by then: the later of the two is the one that counts.
        """
        sent, end = self._sent.pop(registration.id, (None, None))
        if sent == registration or end is None:
            return end
        with contextlib.suppress(CatalogError):  # nobody has asked for it
            end()
        return None

    def finish(self) -> bool:
        """Wait for what nobody took; whether there was any, which means that Consul holds what no pass has decided."""
        left, self._sent = self._sent, {}
        for _, end in left.values():
            with contextlib.suppress(CatalogError):  # nobody has asked for it
                end()
        return bool(left)
