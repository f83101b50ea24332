"""What a set of releases comes to, and whether HAProxy accepts it. Shell.

Put together here: what the releases resolve to with the catalog of now, the services that keep their last servers for a
while, the addresses that templates want to bind, the text, and HAProxy's own check of it.
"""

import time
from collections.abc import Callable, Iterable
from copy import copy

from proxy_api.consul.mirror import Known
from proxy_api.core import bisect, sections
from proxy_api.core.bisect import Judged
from proxy_api.core.errors import ConfigRejected
from proxy_api.core.plan import needs_check
from proxy_api.core.release import Release
from proxy_api.core.render import Renderer, Surroundings
from proxy_api.core.resolve import Resolution, Resolver
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.apply import Proxy

HOLD_S = 30.0  # how long a service keeps its last servers after the catalog lost all of them


class Court:
    """Judges releases against what is `served` now."""

    def __init__(self, known: Known, proxy: Proxy, around: Callable[[], Surroundings],
                 render: Renderer,
                 unbindable: Callable[[Iterable[tuple[str, int, int]]], str]) -> None:
        self._known, self._proxy, self._around, self._render = known, proxy, around, render
        self._check = proxy.config_check.check
        self._cannot_bind = unbindable
        self._resolver = Resolver(around().shared_binds())
        self._empty_since: dict[str, float] = {}
        self.served: Judged | None = None

    def holding(self) -> bool:
        """Whether a service lost all of its servers lately, so that time alone will change what it comes to."""
        return bool(self._empty_since)

    def aside(self, known: Known) -> "Court":
        """A court for a dry run: it judges alike and remembers apart, and what it lets HAProxy check is not kept."""
        other = copy(self)
        other._known, other._check = known, self._proxy.config_check.try_out
        other._resolver, other._render = self._resolver.copy(), self._render.copy()
        other._empty_since = dict(self._empty_since)
        return other

    def judge(self, releases: bisect.Releases, pinned: bisect.Pinned) -> Judged:
        """Resolve, render and, where HAProxy has to have its say, check. Raises ConfigRejected."""
        before = self.served.rendered if self.served else None
        resolution = self._resolve(releases, pinned)
        if refused := self._unbindable(resolution.state, before.state if before else ProxyState()):
            resolution = self._resolve(releases, {**pinned, **refused})
        try:
            rendered = self._render(resolution.state, self._around())
            if needs_check(before, rendered):
                self._check(rendered.config)
        except (ValueError, TypeError, LookupError) as fault:
            raise ConfigRejected(f"it cannot be rendered: {type(fault).__name__}: {fault}") from fault
        return Judged(releases, resolution, rendered)

    def _resolve(self, releases: bisect.Releases, pinned: bisect.Pinned) -> Resolution:
        catalog, last = self._known.catalog, self.served.rendered.state if self.served else ProxyState()
        resolution = self._resolver.resolve(releases, catalog, last, pinned=pinned)
        if hold := self._hold(resolution):
            resolution = self._resolver.resolve(releases, catalog, last, hold, self._known.taken(), pinned)
        return resolution

    def _hold(self, resolution: Resolution) -> dict[str, Release]:
        """The services that keep their last servers for a while, because the catalog lost all of them at once.

        What was not served by this process is not held: after a failover the catalog is all there is to go by.
        """
        now = time.monotonic()
        empty = {}
        for name, outcome in resolution.effective.items():
            if outcome.gone and not outcome.release.members():
                last = self.served.resolution.effective.get(name) if self.served else None
                if last is not None and last.release.members():
                    empty[name] = last.release
                    self._empty_since.setdefault(name, now)
        self._empty_since = {n: since for n, since in self._empty_since.items() if n in empty}
        return {n: release for n, release in empty.items() if now - self._empty_since[n] < HOLD_S}

    def _unbindable(self, wanted: ProxyState, before: ProxyState) -> dict[str, str]:
        """The services whose templates bind, other than they do already, what cannot be bound."""
        found = {}
        for service in wanted.services:
            if service.custom is not None and service is not before.get(service.name):
                last = before.get(service.name)
                had = sections.bound(last.custom) if last is not None and last.custom is not None else ()
                if why := self._cannot_bind(set(sections.bound(service.custom)) - set(had)):
                    found[service.name] = why
        return found

    def moved(self, releases: bisect.Releases) -> tuple[str, ...]:
        """The services that would now be served otherwise than they are, by nobody's request."""
        before = self.served.rendered.state if self.served else ProxyState()
        return tuple(s.name for s in self._resolve(releases, {}).state.services if s is not before.get(s.name))
