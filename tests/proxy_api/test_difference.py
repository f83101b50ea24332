"""What a dry run shows: a difference that turns the one text into the other, and nothing secret in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_api.core import difference as shown_difference
from proxy_api.core.bisect import Candidate
from proxy_api.core.difference import DryRun
from proxy_api.core.plan import Nothing, Reload, Runtime
from proxy_api.core.release import Release
from proxy_api.core.render import Bind, ConfigFiles, Rendered, Surroundings
from proxy_api.core.resolve import Resolution
from proxy_api.core.routing import Routing
from proxy_api.core.runtime import Command
from proxy_api.core.sections import Custom, Section
from proxy_api.core.state import ProxyState
from tests.patched import patched
from tests.specs import served, templated

AROUND = Surroundings((Bind("*:80"),), "/s", (), "http-keep-alive", 5)


def judged(files: dict[str, str], custom: Custom | None = None, keys: tuple[tuple[str, str | None], ...] = (),
           around: Surroundings = AROUND) -> Candidate:
    spec = templated("t", "t")
    state = ProxyState((served(spec, custom=custom),) if custom else ())
    rendered = Rendered(state, Routing((), ()), around, ConfigFiles(tuple(sorted(files.items())), "d"), "", "", ())
    return Candidate({"t": Release(spec, keys=keys)}, Resolution(state, {}, {}), rendered)


def difference(before: dict[str, str] | None, after: dict[str, str], limit: int = shown_difference.MAX_DIFF) -> str:
    run = DryRun(None if before is None else judged(before), judged(after), Nothing())
    return shown_difference.difference(run, limit)


heads = st.sampled_from(("backend a", "backend b", "backend c", "# x", "frontend services"))
bodies = st.lists(st.sampled_from(("    one", "    two", "    three", "")), max_size=12)
texts = st.lists(st.tuples(heads, bodies), max_size=8).map(lambda parts: [line for head, body in parts
                                                                         for line in (head, *body)])


@given(bodies.flatmap(lambda lead: texts.map(lambda text: lead + text)), texts)
def test_the_difference_makes_the_one_of_the_other(old: list[str], new: list[str]) -> None:
    both = ({"haproxy.cfg": "".join(f"{line}\n" for line in lines)} for lines in (old, new))
    text = difference(*both)
    if old == new:
        assert text == ""
        return
    name_old, name_new, *rest = text.removesuffix("\n").split("\n")
    assert (name_old, name_new) == ("--- haproxy.cfg", "+++ haproxy.cfg")
    assert patched(old, rest) == new


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_what_stays_in_its_place_is_not_shown_as_moved(old: list[int], new: list[int]) -> None:
    was, now = ([line for n in sorted(numbers) for line in (f"backend {n}", f"    server {n}")]
                for numbers in (old, new))
    found = shown_difference.changes(was, now)
    assert sum(c.old[1] - c.old[0] for c in found) == 2 * len(set(old) - set(new))
    assert sum(c.new[1] - c.new[0] for c in found) == 2 * len(set(new) - set(old))


def test_a_service_that_moves_is_the_only_one_that_does() -> None:
    others = [line for n in range(20) for line in (f"backend b{n}", "    server s")]
    first, last = ["backend x", "    old", *others], [*others, "backend x", "    new"]
    for old, new in ((first, last), (last, first)):
        assert sum(c.old[1] - c.old[0] for c in shown_difference.changes(old, new)) == 2


def test_new_and_removed_files_and_not_the_digest() -> None:
    before = {"a.map": "/a x\n", "portbook.map": "digest 1\n"}
    after = {"b.map": "/b y\n", "portbook.map": "digest 2\n"}
    assert difference(before, after) == ("--- a.map\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-/a x\n"
                                         "--- /dev/null\n+++ b.map\n@@ -0,0 +1,1 @@\n+/b y\n")
    assert difference(None, {"a.map": "/a x\n"}).startswith("--- /dev/null\n+++ a.map\n")


def test_a_long_one_is_cut_at_a_line_and_says_so() -> None:
    many = {"haproxy.cfg": "".join(f"backend b{n}\n    server s 10.0.0.1:80\n" for n in range(10_000))}
    text = difference({"haproxy.cfg": "frontend services\n"}, many)
    assert len(text) < shown_difference.MAX_DIFF + 100
    shown = text.splitlines()
    assert shown[-1] == f"[{20_000 + 4 - (len(shown) - 1)} more lines are not shown]"
    assert shown[-2] in ("+backend b1637", "+    server s 10.0.0.1:80") or shown[-2].startswith("+backend b")


def test_two_long_sections_with_nothing_in_common_are_not_compared_line_by_line() -> None:
    one, other = (["frontend services", *(f"    acl {name}{n % 7}" for n in range(5000))] for name in "ab")
    assert len(shown_difference.changes(one, other)) == 1


# --- secrets ---------------------------------------------------------------------------------------------------------

HASH = "$6$abcdefgh$0123456789abcdef"


@pytest.mark.parametrize("line", [
    f"    user 'ops' password '{HASH}'", f'    user ops insecure-password "{HASH}"',
    f"    user a password {HASH} groups g",
    f"    user 'password x' password '{HASH}'",
])
def test_passwords_of_users_are_hidden_and_that_one_changed_is_not(line: str) -> None:
    files = {"haproxy.cfg": f"userlist u\n{line}\n"}
    text = difference(files, {"haproxy.cfg": files["haproxy.cfg"].replace("abcdefgh", "zyxwvuts")})
    assert "-    user" in text
    assert "+    user" in text
    assert HASH not in text
    assert "0123456789abcdef" not in text


def test_what_is_known_to_be_secret_is_hidden_wherever_it_stands() -> None:
    after = judged({"haproxy.cfg": f"userlist u\n    odd {HASH} line\n"}, around=replace(AROUND, stats_pass_hash=HASH))
    assert shown_difference.difference(DryRun(None, after, Nothing())).endswith("+userlist u\n+    odd <hidden> line\n")


@pytest.mark.parametrize(("line", "shown"), [
    ("http-request set-header Authorization 'Basic Zm9vOmJhcg=='", "http-request set-header <hidden>"),
    ("http-request set-header X-Api-Key Zm9vOmJhcg==", "http-request set-header <hidden>"),
    ("stats auth admin:Zm9vOmJhcg==", "stats auth <hidden>"),
    ("dynamic-cookie-key Zm9vOmJhcg==", "dynamic-cookie-key <hidden>"),
    ('tcp-check send "AUTH Zm9vOmJhcg==\\r\\n"', "tcp-check send <hidden>"),
    ("user bob pass\"word\" Zm9vOmJhcg==", "user bob <hidden>"),
    ("acl ok req.hdr(x-token) -m str Zm9vOmJhcg==", "acl ok <hidden>"),
    ("server db 10.0.0.1:80 check", "server db 10.0.0.1:80 check"),
    ("balance leastconn", "balance leastconn"),
    ("use_backend auth", "use_backend auth"),
    ("http-request set-header X-Origin from-consul-7", "http-request set-header X-Origin <hidden>"),
    ("timeout server 30s", "timeout server 30s"),
])
def test_an_operators_line_that_smells_of_a_secret_says_only_what_it_is_about(line: str, shown: str) -> None:
    custom = Custom((line,), (Section("backend", "t-be", (line,)),))
    files = {"haproxy.cfg": f"frontend services\n    {line}\nbackend t-be\n    {line}\n"}
    after = judged(files, custom, (("secret/x", "from-consul-7"), ("t", "30s")))
    text = shown_difference.difference(DryRun(None, after, Nothing()))
    assert text.splitlines()[3:] == ["+frontend services", f"+    {shown}", "+backend t-be", f"+    {shown}"]


def test_our_own_lines_are_shown_whatever_a_service_is_called() -> None:
    line = "    server auth-token_0_80 10.0.0.1:80 check"
    assert difference(None, {"haproxy.cfg": f"backend auth-token-be\n{line}\n"}).endswith(f"+{line}\n")


def test_the_commands_are_those_of_a_runtime_change() -> None:
    after = judged({})
    runtime = Runtime((Command("a b"), Command("c", "ok")), "r")
    assert shown_difference.shown(DryRun(None, after, runtime)).commands == ("a b", "c")
    assert shown_difference.shown(DryRun(None, after, Reload("r"))).commands == ()
