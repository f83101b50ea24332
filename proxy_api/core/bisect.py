"""Which of several changes spoils it for the others, so that one bad service never stops another's. Core.

Two things can refuse a batch: HAProxy's check, before anything is committed, and HAProxy itself when it is to run what
its check has accepted. Both are asked again with half of it until who is to blame stands alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy_api.core.errors import ConfigRejected, InvalidTemplate, ProxyError
from proxy_api.core.release import Release
from proxy_api.core.render import Rendered
from proxy_api.core.resolve import Resolution

Releases = Mapping[str, Release]
# A service to its new release, None for its removal.
Changes = Mapping[str, Release | None]
# Services that are to stay as they are served now, each with the reason.
Pinned = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A set of releases that HAProxy accepts, with its configuration. Once it is applied, it is what is served."""

    releases: Releases
    resolution: Resolution
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class Verdict:
    """The releases that can be served together, and the changes that cannot be part of them, each with the reason."""

    candidate: Candidate
    rejected: Mapping[str, ProxyError]


class Judge(Protocol):
    """Renders and checks a set of releases; raises ConfigRejected."""

    def __call__(self, releases: Releases, pinned: Pinned) -> Candidate: ...


def accept(base: Releases, changes: Changes, judge: Judge, moved: Callable[[Releases], Sequence[str]]) -> Verdict:
    """Lay `changes` over `base`, which is served, leaving out those that HAProxy or a template refuses.

    What the catalog has can make a service of `base` refused too: `moved` names those that would be served otherwise
    than they are, and the guilty ones among them are pinned to what they are. With k bad ones among n, `judge` is
    called about k log n times, once when all are good. Raises ConfigRejected when it is nobody's fault in particular.
    """
    rejected: dict[str, ProxyError] = {}
    last: list[Candidate] = []
    pinned: Pinned = {}

    def attempt(good: Releases, names: Sequence[str]) -> Releases:
        wanted = lay(good, {name: changes[name] for name in names})
        try:
            result = judge(wanted, {name: why for name, why in pinned.items() if wanted.get(name) is base.get(name)})
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
        last[:] = [result]
        return wanted

    names = sorted(changes)
    try:
        judged = judge(lay(base, changes), pinned)
    except ConfigRejected:
        pinned = guilty(base, judge, moved)
        judged = None
    if judged is not None and not any(name in judged.resolution.broken for name in names):
        return Verdict(judged, rejected)
    final = attempt(base, names)
    if last and last[0].releases == final:
        return Verdict(last[0], rejected)
    return Verdict(judge(final, {name: why for name, why in pinned.items() if final.get(name) is base.get(name)}),
                   rejected)


def guilty(base: Releases, judge: Judge, moved: Callable[[Releases], Sequence[str]]) -> Pinned:
    """The services of `base` that have to stay as they are for HAProxy to accept it; none where it does anyway."""
    try:
        judge(base, {})
    except ConfigRejected as fault:
        reason = f"what the catalog has of it cannot be served, so it stays as it was: {fault}"
    else:
        return {}
    pinned = dict.fromkeys(moved(base), reason)
    judge(base, pinned)

    def free(names: Sequence[str]) -> None:
        without = {name: why for name, why in pinned.items() if name not in names}
        try:
            judge(base, without)
        except ConfigRejected:
            if len(names) > 1:
                free(names[:len(names) // 2])
                free(names[len(names) // 2:])
        else:
            for name in names:
                pinned.pop(name, None)

    # Nobody is guilty alone where there is only one: it is pinned already.
    if len(pinned) > 1:
        free(tuple(pinned))
    return pinned


def halves(names: Iterable[str]) -> tuple[frozenset[str], ...]:
    """A batch that failed in two, to be tried one after the other; nothing where it is a single one's fault."""
    found = sorted(names)
    middle = len(found) // 2
    return (frozenset(found[:middle]), frozenset(found[middle:])) if middle else ()


def lay(base: Releases, changes: Changes) -> dict[str, Release]:
    """`base` with the changes made."""
    merged = dict(base)
    for name, made in changes.items():
        if made is not None:
            merged[name] = made
        else:
            merged.pop(name, None)
    return merged
