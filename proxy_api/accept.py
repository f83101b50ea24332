"""Which of several changes HAProxy accepts together, so that one bad service never stops another's. Core."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy_api.errors import ConfigRejected, InvalidTemplate, ProxyError
from proxy_api.release import Release
from proxy_api.render import Rendered
from proxy_api.state import Resolution

Releases = Mapping[str, Release]
# A service to its new release, None for its removal.
Changes = Mapping[str, Release | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A set of releases that HAProxy accepts, with its configuration."""

    releases: Releases
    resolution: Resolution
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class Verdict:
    """The releases that can be served together, and the changes that cannot be part of them, each with the reason."""

    judged: Judged
    rejected: Mapping[str, ProxyError]


def accept(base: Releases, changes: Changes, judge: Callable[[Releases], Judged]) -> Verdict:
    """Lay `changes` over `base`, which is known to be good, leaving out those that HAProxy or a template refuses.

    `judge` renders and checks a set, and raises ConfigRejected. With k bad ones among n it is called about
    k log n times, once when all are good. Raises ConfigRejected when `base` itself is refused.
    """
    rejected: dict[str, ProxyError] = {}
    judged: dict[str, Judged] = {}

    def attempt(good: Releases, names: Sequence[str]) -> Releases:
        wanted = lay(good, {name: changes[name] for name in names})
        try:
            result = judge(wanted)
        except ConfigRejected as fault:
            if not names:
                raise
            if len(names) == 1:
                rejected[names[0]] = fault
                return good
            middle = len(names) // 2
            return attempt(attempt(good, names[:middle]), names[middle:])
        bad = [name for name in names if name in result.resolution.broken]
        if bad:
            rejected.update((name, InvalidTemplate(result.resolution.broken[name])) for name in bad)
            return attempt(good, [name for name in names if name not in bad])
        judged["last"] = result
        return wanted

    final = attempt(base, sorted(changes))
    last = judged.get("last")
    return Verdict(last if last is not None and last.releases == final else judge(final), rejected)


def lay(base: Releases, changes: Changes) -> dict[str, Release]:
    """`base` with the changes made."""
    merged = {**base, **{name: made for name, made in changes.items() if made is not None}}
    return {name: made for name, made in merged.items() if not (name in changes and changes[name] is None)}
