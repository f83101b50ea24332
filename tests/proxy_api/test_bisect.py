"""Of several changes the good ones get in, whatever bad ones come with them."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_api.core import bisect
from proxy_api.core.bisect import Candidate
from proxy_api.core.errors import ConfigRejected, InvalidTemplate
from proxy_api.core.release import Release, Template
from proxy_api.core.render import Bind, Surroundings, render
from proxy_api.core.resolve import Resolver
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.global_config import text_environment
from tests.specs import spec_of, templated

AROUND = Surroundings((Bind("*:80"),), "/s", (), "http-keep-alive", 5)
ENVIRONMENT = text_environment()


def release(name: str, path: str = "/") -> Release:
    return Release(spec_of(name, paths=(path,)))


def of_templates(name: str, text: str) -> Release:
    return Release(templated(name, frontend="f", backend="b"),
                   templates=(Template("frontend", "f", text), Template("backend", "b", f"backend {name}-be\n")))


NOBODY: Mapping[str, str] = {}


def still(releases: Mapping[str, Release]) -> tuple[str, ...]:
    """The catalog moved nothing."""
    return ()


class Judge:
    """Refuses any set with one of the bad releases in it, and counts how often it was asked."""

    def __init__(self, bad: frozenset[str] = frozenset(), before: ProxyState | None = None) -> None:
        self.bad, self.before, self.calls = bad, before or ProxyState(), 0

    def __call__(self, releases: Mapping[str, Release], pinned: Mapping[str, str] = NOBODY) -> Candidate:
        self.calls += 1
        for name, made in releases.items():
            if name in self.bad and made.spec.destinations[0].match.paths != ("/old",) and name not in pinned:
                raise ConfigRejected(f"not {name}")
        found = Resolver(()).resolve(releases, None, self.before, pinned=pinned)
        return Candidate(releases, found, render(found.state, AROUND, ENVIRONMENT))


names = st.sampled_from([f"s{n}" for n in range(12)])


@given(st.sets(names), st.dictionaries(names, st.booleans()), st.sets(names))
def test_the_good_ones_all_get_in(base: set[str], asked: dict[str, bool], bad: set[str]) -> None:
    old = {name: release(name, "/old") for name in base}
    changes = {name: release(name) if made else None for name, made in asked.items()}
    judge = Judge(frozenset(bad))
    verdict = bisect.accept(old, changes, judge, still)
    wrong = {name for name, made in changes.items() if made is not None and name in bad}
    assert set(verdict.rejected) == wrong
    assert verdict.candidate.releases == bisect.lay(old, {n: c for n, c in changes.items() if n not in wrong})
    assert all(str(verdict.rejected[name]) == f"not {name}" for name in wrong)
    n, k = len(changes), len(wrong)
    assert judge.calls <= (1 if not k else 4 + 2 * k * (1 + ceil(log2(n))))


def test_one_call_when_all_are_good() -> None:
    judge = Judge()
    bisect.accept({}, {f"s{n}": release(f"s{n}") for n in range(100)}, judge, still)
    assert judge.calls == 1


def test_one_bad_among_a_thousand_costs_few_calls() -> None:
    judge = Judge(frozenset(("s500",)))
    verdict = bisect.accept({}, {f"s{n}": release(f"s{n}") for n in range(1000)}, judge, still)
    assert (set(verdict.rejected), len(verdict.candidate.releases)) == ({"s500"}, 999)
    assert judge.calls <= 27


def test_a_base_that_is_refused_itself_is_an_error() -> None:
    with pytest.raises(ConfigRejected, match="not a"):
        bisect.accept({"a": release("a")}, {}, Judge(frozenset("a")), still)


def test_two_that_do_not_go_together_are_not_both_refused() -> None:
    def judge(releases: Mapping[str, Release], pinned: Mapping[str, str]) -> Candidate:
        if {"a", "b"} <= set(releases):
            raise ConfigRejected("both define it")
        return Judge()(releases)
    verdict = bisect.accept({}, {name: release(name) for name in "abc"}, judge, still)
    assert set(verdict.candidate.releases) == {"a", "c"}
    assert set(verdict.rejected) == {"b"}


def test_a_template_that_fails_is_refused_alone() -> None:
    changes = {"a": of_templates("a", "global"), "b": release("b"), "c": of_templates("c", "acl c path /c")}
    verdict = bisect.accept({}, changes, Judge(), still)
    assert set(verdict.candidate.releases) == {"b", "c"}
    assert isinstance(verdict.rejected["a"], InvalidTemplate)


@pytest.mark.parametrize("newcomer", ["a", "z"])
def test_a_newcomers_acl_never_joins_that_of_a_service_in_place(newcomer: str) -> None:
    """Two ACLs of one name are joined by OR: whoever was there first keeps the name, whatever the names."""
    old = {"m": of_templates("m", "acl mine path /m\nuse_backend m-be if mine")}
    before = Judge()(old).rendered.state
    asked = {newcomer: of_templates(newcomer, "acl mine path /x"), "other": release("other")}
    verdict = bisect.accept(old, asked, Judge(before=before), still)
    assert set(verdict.candidate.releases) == {"m", "other"}
    assert "is defined by a template of m already" in str(verdict.rejected[newcomer])
    assert verdict.candidate.rendered.config.text().count("acl mine ") == 1


@given(st.sets(names, min_size=1), st.sets(names), st.dictionaries(names, st.booleans()))
def test_what_the_catalog_made_of_some_is_pinned_and_stops_nobody(
        base: set[str], spoilt: set[str], asked: dict[str, bool]) -> None:
    """HAProxy refuses what the catalog now has of some served services: they stay as they are, changes go on."""
    old = {name: release(name, "/here") for name in base}
    changes = {name: release(name, "/old") if made else None for name, made in asked.items()}
    before = Judge()(old).rendered.state
    verdict = bisect.accept(old, changes, Judge(frozenset(spoilt), before), lambda releases: tuple(releases))
    assert verdict.rejected == {}
    assert verdict.candidate.releases == bisect.lay(old, changes)
    assert set(verdict.candidate.resolution.broken) == (spoilt & base) - set(changes)
    assert {s.name for s in verdict.candidate.rendered.state.services} == set(bisect.lay(old, changes))
