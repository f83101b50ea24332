"""What a set of releases comes to, and whether HAProxy accepts it. Shell.

Put together here: what the releases resolve to with the catalog of now, the services that keep their last servers for a
while, the addresses that templates want to bind, the text, and HAProxy's own check of it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy

from proxy_api.core import bisect, sections
from proxy_api.core.bisect import Candidate, Changes, Pinned, Releases, Verdict
from proxy_api.core.errors import ConfigRejected, ProxyError
from proxy_api.core.follow import CatalogSnapshot
from proxy_api.core.plan import needs_check
from proxy_api.core.release import Release
from proxy_api.core.render import ConfigFiles, Renderer, Surroundings
from proxy_api.core.resolve import Resolution, Resolver
from proxy_api.core.state import ProxyState

log = logging.getLogger("proxy-api")

HOLD_S = 30.0  # how long a service keeps its last servers after the catalog lost all of them

Check = Callable[[ConfigFiles], None]


class Candidates:
    """Makes candidates of releases. `check` is HAProxy's; it raises ConfigRejected."""

    def __init__(self, check: Check, around: Callable[[], Surroundings], render: Renderer,
                 unbindable: Callable[[Iterable[tuple[str, int, int]]], str]) -> None:
        self._check, self._around, self._render, self._unbindable = check, around, render, unbindable
        self._resolver = Resolver(around().shared_binds())
        self._empty_since: dict[str, float] = {}

    def holding(self) -> bool:
        """Whether a service lost all of its servers lately, so that time alone will change what it comes to."""
        return bool(self._empty_since)

    def copy(self, check: Check) -> "Candidates":
        """The same for a dry run: it remembers apart, and what it lets HAProxy check is not kept."""
        other = copy(self)
        other._check, other._resolver, other._render = check, self._resolver.copy(), self._render.copy()
        other._empty_since = dict(self._empty_since)
        return other

    def choose(self, served: Candidate | None, changes: Changes, catalog: CatalogSnapshot | None,
               addresses: Callable[[], Collection[tuple[str, int]]]) -> Verdict:
        """Lay changes over what is served, but for those that HAProxy or a template refuses. `addresses` are all that
        the catalog has of anybody. Raises ConfigRejected where it is nobody's fault in particular.
        """
        def judge(releases: Releases, pinned: Pinned) -> Candidate:
            return self._judge(served, releases, pinned, catalog, addresses)

        def moved(releases: Releases) -> tuple[str, ...]:
            """The services that would now be served otherwise than they are, by nobody's request."""
            state = self._resolve(served, releases, {}, catalog, addresses).state
            return tuple(s.name for s in state.services if s is not _state_of(served).get(s.name))

        return bisect.accept(served.releases if served else {}, changes, judge, moved)

    def _judge(self, served: Candidate | None, releases: Releases, pinned: Pinned, catalog: CatalogSnapshot | None,
               addresses: Callable[[], Collection[tuple[str, int]]]) -> Candidate:
        before = served.rendered if served else None
        resolution = self._resolve(served, releases, pinned, catalog, addresses)
        if refused := self._cannot_bind(resolution.state, _state_of(served)):
            resolution = self._resolve(served, releases, {**pinned, **refused}, catalog, addresses)
        try:
            rendered = self._render(resolution.state, self._around())
            if needs_check(before, rendered):
                self._check(rendered.config)
        except (ProxyError, OSError):
            raise
        except Exception as fault:  # a defect that one service's part brings out is found like a text that is refused
            log.exception("event=defect in=rendering")
            raise ConfigRejected(f"it cannot be rendered: {type(fault).__name__}: {fault}") from fault
        return Candidate(releases, resolution, rendered)

    def _resolve(self, served: Candidate | None, releases: Releases, pinned: Pinned, catalog: CatalogSnapshot | None,
                 addresses: Callable[[], Collection[tuple[str, int]]]) -> Resolution:
        last = _state_of(served)
        resolution = self._resolver.resolve(releases, catalog, last, pinned=pinned)
        if hold := self._hold(served, resolution):
            resolution = self._resolver.resolve(releases, catalog, last, hold, addresses(), pinned)
        return resolution

    def _hold(self, served: Candidate | None, resolution: Resolution) -> Mapping[str, Release]:
        """The services that keep their last servers for a while, because the catalog lost all of them at once.

        What was not served by this process is not held: after a failover the catalog is all there is to go by.
        """
        now = time.monotonic()
        empty = {}
        for name, outcome in resolution.effective.items():
            if outcome.gone and not outcome.release.members():
                last = served.resolution.effective.get(name) if served else None
                if last is not None and last.release.members():
                    empty[name] = last.release
                    self._empty_since.setdefault(name, now)
        self._empty_since = {n: since for n, since in self._empty_since.items() if n in empty}
        return {n: release for n, release in empty.items() if now - self._empty_since[n] < HOLD_S}

    def _cannot_bind(self, wanted: ProxyState, before: ProxyState) -> dict[str, str]:
        """The services whose templates bind, other than they do already, what cannot be bound."""
        found = {}
        for service in wanted.services:
            last = before.get(service.name) if service.custom is not None else None
            if service.custom is not None and service is not last:
                had = sections.bound(last.custom) if last is not None and last.custom is not None else ()
                if why := self._unbindable(set(sections.bound(service.custom)) - set(had)):
                    found[service.name] = why
        return found


def _state_of(served: Candidate | None) -> ProxyState:
    return served.rendered.state if served else ProxyState()
