"""What the records say that is not served yet, and when what was refused is tried again. Core."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from proxy_api.core.bisect import Changes, Releases
from proxy_api.core.keys import Held, Stored, Unreadable
from proxy_api.core.release import Release

NOT_ACCEPTED_S = 30.0  # before a record that was refused is tried again
NOT_APPLIED_S = 600.0  # the same for one that HAProxy accepted and could not load: a failed load is a risk for all


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be served, why, and when (monotonic) to try it again although it is the same."""

    release: Release | None
    reason: str
    again_at: float


Refusals = Mapping[str, Refusal]


def outstanding(held: Mapping[str, Held], served: Releases, refusals: Refusals, now: float,
                retry: bool) -> dict[str, Release | None]:
    """How the records differ from what is served, but for what was refused before and is still the same; with `retry`,
    that too when its time has come.

    A service whose record this version cannot read stays as it is served.
    """
    found: dict[str, Release | None] = {
        name: record.release for name, record in held.items()
        if isinstance(record, Stored) and (last := served.get(name)) is not record.release and last != record.release}
    found.update({name: None for name in served if not isinstance(held.get(name), Stored | Unreadable)})
    return {name: release for name, release in found.items()
            if name not in refusals or refusals[name].release != release
            or (retry and now > refusals[name].again_at)}


def after_check(refusals: Refusals, records: Changes, asked: Collection[str],
                rejected: Mapping[str, Exception], now: float) -> dict[str, Refusal]:
    """The refusals once `records` were tried beside what was `asked`; nobody remembers what a caller was told."""
    kept = {name: why for name, why in refusals.items() if name not in records and name not in asked}
    return {**kept, **{name: refusal(records[name], fault, now + NOT_ACCEPTED_S)
                       for name, fault in rejected.items() if name in records and name not in asked}}


def refusal(release: Release | None, fault: Exception, again_at: float) -> Refusal:
    """That a record is not served."""
    return Refusal(release, f"its record in Consul is not served: {fault}", again_at)
