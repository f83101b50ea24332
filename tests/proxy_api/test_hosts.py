"""Names with an address in the machine's hosts file: read, read again, and written as that address."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy_api.core import render
from proxy_api.core.hosts import parse_hosts
from proxy_api.core.render import Bind, Renderer, Surroundings
from proxy_api.core.state import ProxyState, Server
from proxy_api.haproxy.global_config import text_environment
from proxy_api.haproxy.hosts_file import HostsFile
from tests.specs import served, spec_of

AROUND = Surroundings((Bind("127.0.0.1:8000"),), "/tmp/pb.sock", (("connect", "5s"),), "http-keep-alive", 5)

TEXTS = (
    ("one name", "10.0.0.1 db", {"db": "10.0.0.1"}),
    ("several names, tabs", "10.0.0.1\tdb db.example.org", {"db": "10.0.0.1", "db.example.org": "10.0.0.1"}),
    ("capitals and a dot at the end", "10.0.0.1 DB.", {"db": "10.0.0.1"}),
    ("the first address counts", "10.0.0.1 db\n10.0.0.2 db", {"db": "10.0.0.1"}),
    ("IPv6", "2001:db8::1 db", {"db": "2001:db8::1"}),
    ("comments", "# 10.0.0.1 a\n10.0.0.2 b # c\n10.0.0.3 #d", {"b": "10.0.0.2"}),
    ("no address", "db 10.0.0.1\n10.0.0 x\nfe80::1%eth0 y\n10.0.0.4", {}),
    ("nothing", "\n \n", {}),
)


@pytest.mark.parametrize(("text", "names"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_a_hosts_file_is_read_as_the_system_reads_it(text: str, names: dict[str, str]) -> None:
    assert dict(parse_hosts(text)) == names


def test_a_change_is_seen_and_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(str(path))
    assert hosts.names() == ()
    path.write_text("10.0.0.1 db\n")
    assert hosts.names() == (("db", "10.0.0.1"),)
    assert hosts.names() is hosts.names(), "not read again"
    path.write_text("10.0.0.22 db\n")
    assert hosts.names() == (("db", "10.0.0.22"),)
    path.unlink()
    assert hosts.names() == (("db", "10.0.0.22"),)


def test_a_name_is_written_as_its_address_of_now() -> None:
    state = ProxyState((served(spec_of("x"), (Server("a", "DB", 80, True), Server("b", "other", 80, True))),))
    render_again = Renderer(text_environment())

    def lines(*hosts: tuple[str, str]) -> list[str]:
        around = replace(AROUND, hosts=hosts)
        rendered = render_again(state, around)
        assert rendered.config == render.render(state, around, text_environment()).config, "its memory changes nothing"
        return [line.strip() for line in rendered.config.text().splitlines() if line.strip().startswith("server ")]

    looked_up = "resolvers system init-addr last,none"
    assert lines() == [f"server a DB:80 check {looked_up}", f"server b other:80 check {looked_up}"]
    assert set(lines(("db", "10.0.0.1"))) == {"server a 10.0.0.1:80 check", f"server b other:80 check {looked_up}"}
    assert set(lines(("db", "::1"), ("other", "10.0.0.2"))) == {"server a [::1]:80 check", "server b 10.0.0.2:80 check"}
    assert lines() == [f"server a DB:80 check {looked_up}", f"server b other:80 check {looked_up}"]
