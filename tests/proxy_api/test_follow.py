"""What serves between two calls: only ever what was admitted, unless the route says `all`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Instance
from proxy_api.core.follow import Effective, effective
from proxy_api.core.release import Release, admit
from tests.specs import spec_of


def i(id: str, port: int = 80, container: str = "c", node: str = "n", address: str = "10.0.0.1",
      status: str = "") -> Instance:
    return Instance(node, id, "a", address, port, container, (), status)


def release(follow: str, *admitted: Instance, filters: str = "any") -> Release:
    return Release(spec_of("a", paths=("/",), follow=follow), (admit("a", filters, admitted),))


def serving(found: Effective) -> list[tuple[str, int]]:
    return [(m.instance.id, m.instance.port) for m in found.release.members()]


# sentence, follow, admitted, catalog (None: not known), serving, gone, waiting
CASES: tuple[tuple[str, str, Sequence[Instance], Sequence[Instance] | None, list[tuple[str, int]], str, str], ...] = (
    ("never serves the record literally", "never", [i("x", 1)], [i("x", 2)], [("x", 1)], "", ""),
    ("never keeps what left", "never", [i("x", 1)], [], [("x", 1)], "", ""),
    ("never takes nobody in", "never", [i("x", 1)], [i("x", 1), i("y", 2)], [("x", 1)], "", ""),
    ("restarts follows a container to its new port", "restarts", [i("x", 1)], [i("x", 2)], [("x", 2)], "", ""),
    ("restarts takes out what left", "restarts", [i("x", 1), i("y", 2)], [i("y", 2)], [("y", 2)], "x", ""),
    ("restarts takes nobody in", "restarts", [i("x", 1)], [i("x", 1), i("y", 2)], [("x", 1)], "", "y"),
    ("restarts takes nobody in, not even when all have left",
     "restarts", [i("x", 1)], [i("y", 2)], [], "x", "y"),
    ("another container under the same id is another release",
     "restarts", [i("x", 1, "old")], [i("x", 1, "new")], [], "x", "x"),
    ("without a container id only the same address is the same release",
     "restarts", [i("x", 1, ""), i("y", 2, "")], [i("x", 3, ""), i("y", 2, "")], [("y", 2)], "x", "x"),
    ("a container that was not known when admitted may not stand in",
     "restarts", [i("x", 1, "")], [i("x", 2, "new")], [], "x", "x"),
    ("the same id on another node is another instance",
     "restarts", [i("x", 1)], [i("x", 1, node="m")], [], "x", "x"),
    ("all serves whatever there is", "all", [i("x", 1)], [i("y", 2), i("z", 3)], [("y", 2), ("z", 3)], "x", ""),
    ("all serves nothing when there is nothing", "all", [i("x", 1)], [], [], "x", ""),
    *((f"{mode} stays as it is while the catalog is not known", mode, [i("x", 1)], None, [("x", 1)], "", "")
      for mode in ("never", "restarts", "all")),
)


@pytest.mark.parametrize(("mode", "admitted", "catalog", "served", "gone", "waiting"), [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])
def test_what_serves(mode: str, admitted: Sequence[Instance], catalog: Sequence[Instance] | None,
                     served: list[tuple[str, int]], gone: str, waiting: str) -> None:
    found = effective(release(mode, *admitted), None if catalog is None else {"a": catalog})
    assert serving(found) == served
    assert "".join(x.id for x in found.gone) == gone
    assert "".join(x.id for x in found.waiting) == waiting


def test_a_service_that_was_not_looked_for_stays_as_it_is() -> None:
    assert serving(effective(release("restarts", i("x")), {"other": []})) == [("x", 80)]


def test_an_outbound_host_has_no_instances_to_follow() -> None:
    made = Release(spec_of("a", paths=("/",), host="x.org", port=80))
    assert effective(made, {"a": [i("x")]}) == Effective(made)


def test_a_hold_keeps_the_last_servers_but_those_whose_address_another_has() -> None:
    made = release("restarts", i("x", 1), i("y", 2))
    found = effective(made, {"a": [], "b": [i("z", 2)]}, made, {("10.0.0.1", 2)})
    assert serving(found) == [("x", 1)]
    assert found.held
    assert [x.id for x in found.gone] == ["x", "y"]
    assert serving(effective(made, {"a": []})) == []


def test_a_hold_keeps_what_was_served_last_not_what_was_admitted_first() -> None:
    made, served = release("all", i("x", 1)), release("all", i("y", 2))
    assert serving(effective(made, {"a": []}, served)) == [("y", 2)]


def test_a_hold_is_for_a_release_that_lost_all_of_its_servers_only() -> None:
    found = effective(release("restarts", i("x", 1), i("y", 2)), {"a": [i("x", 1)]}, release("restarts", i("x", 1)))
    assert (serving(found), found.held) == ([("x", 1)], False)


@pytest.mark.parametrize(("filters", "served"), [("any", "xyz"), ("passing", "xz"), ("passing,warning", "xyz")])
def test_all_takes_what_the_template_asked_for(filters: str, served: str) -> None:
    catalog = [i("x", status="passing"), i("y", status="warning"), i("z", status="")]
    found = effective(release("all", filters=filters), {"a": catalog})
    assert "".join(id for id, _ in serving(found)) == served


def test_tags_and_status_stay_as_admitted() -> None:
    admitted = replace(i("x", 1, status="passing"), tags=("old",))
    now = replace(i("x", 2, status="critical", address="10.9.9.9"), tags=("new",), node_address="n2")
    member, = effective(release("restarts", admitted), {"a": [now]}).release.members()
    assert member.instance == replace(admitted, port=2, address="10.9.9.9", node_address="n2")


few = st.sampled_from
found = st.builds(Instance, node=few("nm"), id=few("xyz"), service=st.just("a"), address=few(("10.0.0.1", "10.0.0.2")),
                  port=st.integers(1, 3), container=few(("", "c1", "c2")))
some = st.lists(found, max_size=5, unique_by=lambda x: (x.node, x.id))


@given(few(("never", "restarts")), some, st.none() | some, some, st.booleans())
@settings(max_examples=500)
def test_what_was_never_admitted_never_serves(mode: str, admitted: list[Instance], now: list[Instance] | None,
                                              others: list[Instance], hold: bool) -> None:
    made = release(mode, *admitted)
    catalog = None if now is None else {"a": now, "b": others}
    last = made if hold else None
    taken = {(x.address, x.port) for x in (*(now or ()), *others)}
    outcome = effective(made, catalog, last, taken)
    before = {(m.instance.node, m.instance.id): m for m in made.members()}
    for m in outcome.release.members():
        was = before[m.instance.node, m.instance.id]
        assert (m.number, m.instance.container) == (was.number, was.instance.container)
        at = (m.instance.address, m.instance.port)
        if mode == "never" or now is None:
            assert m == was
        elif outcome.held:
            assert at not in taken
        else:
            here = next(x for x in now if (x.node, x.id) == (m.instance.node, m.instance.id))
            assert at == (here.address, here.port)
            assert here.container == m.instance.container or (not m.instance.container and at == (
                was.instance.address, was.instance.port))
    assert effective(made, catalog, last, taken) == outcome
    if catalog is not None and not outcome.held:
        assert effective(outcome.release, catalog).release == outcome.release, "following once is enough"


@given(some, some)
def test_all_serves_exactly_the_catalog(admitted: list[Instance], now: list[Instance]) -> None:
    outcome = effective(release("all", *admitted), {"a": now})
    assert {m.instance for m in outcome.release.members()} == set(now)
