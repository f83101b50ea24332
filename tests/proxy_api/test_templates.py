"""Templates in consul-template's language and in Jinja2, through a real proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import Answer, ConsulServer, ProxyProcess, loopback_address, wait_until
from deploy.origin import Origin
from proxy_api.haproxy.control import Haproxy
from tests.stored import stored

# The article's own test_configs/tmpl/go-demo.tmpl, as published.
ARTICLE = """frontend go-demo-fe
    bind *:80
    bind *:443
    option http-server-close
    acl url_go-demo path_beg /demo
    use_backend go-demo-be if url_go-demo

backend go-demo-be
    {{ range $i, $e := service "go-demo" "any" }}
    server {{$e.Node}}_{{$i}}_{{$e.Port}} {{$e.Address}}:{{$e.Port}} check
    {{end}}
"""
FE = """    acl url_go-demo path_beg /demo
    use_backend go-demo-be if url_go-demo
"""
BE = ARTICLE[ARTICLE.index("backend go-demo-be\n"):]
BE_J2 = """backend go-demo-be
{% for e in service("go-demo", "any") %}
    server {{ e.Node }}_{{ loop.index0 }}_{{ e.Port }} {{ e.Address }}:{{ e.Port }} check
{% endfor %}
"""


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, Origin]]:
    with Origin("a") as a, Origin("b") as b, Origin("c") as c:
        yield {"a": a, "b": b, "c": c}


@pytest.fixture
def proxy(consul: ConsulServer) -> Iterator[ProxyProcess]:
    with ProxyProcess(consul.address) as running:
        yield running


def add(consul: ConsulServer, service: str, origin: Origin) -> str:
    return consul.register(service, origin.host, origin.port, id=f"n:{service}_{origin.name}:8080",
                           meta={"registrar-container": f"c-{origin.name}"})


def write(proxy: ProxyProcess, name: str, text: str) -> str:
    path = proxy.templates_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_the_articles_one_file_form_works_unchanged_on_ports_80_and_443(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    add(consul, "go-demo", origins["b"])
    add(consul, "other", origins["c"])
    address = loopback_address()
    proxy = ProxyProcess(consul.address, address=address, env={"DEFAULT_PORTS": f"{address}:80,{address}:443:ssl"})
    proxy.port = 80
    with proxy:
        proxy.api("reconfigure", serviceName="other", servicePath="/demo,/other")
        path = write(proxy, "tmpl/go-demo.tmpl", ARTICLE)
        status, answer = proxy.api("reconfigure", serviceName="go-demo", consulTemplatePath=path)
        assert (status, answer["Servers"], answer["ConsulTemplatePath"]) == (200, 2, path)
        assert any("merged" in w for w in answer["Warnings"])
        assert any("option http-server-close" in w for w in answer["Warnings"])
        assert proxy.instances("/demo/hello", requests=40) == {"a", "b"}, "ahead of the routes, on every connection"
        assert proxy.instances("/other") == {"c"}
        proxy.kill9()
        proxy.wipe()
        (proxy.templates_path / "tmpl" / "go-demo.tmpl").unlink()
        proxy.start().wait_ready()
        assert proxy.instances("/demo/hello", requests=40) == {"a", "b"}, "a node without the file serves the same"
        proxy.api("remove", serviceName="go-demo")
        assert proxy.instances("/demo/hello") == {"c"}, "gone after remove"


@pytest.mark.parametrize(("name", "text"), [("be.ctmpl", BE), ("be.cfg.j2", BE_J2)])
def test_the_pair_of_templates_is_on_demand_like_any_route(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin], name: str, text: str) -> None:
    id_a = add(consul, "go-demo", origins["a"])
    fe, be = write(proxy, "fe.ctmpl", FE), write(proxy, name, text)
    status, answer = proxy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe, consulTemplateBePath=be)
    assert (status, answer["Servers"]) == (200, 1)
    assert (answer["ConsulTemplateFePath"], answer["ConsulTemplateBePath"]) == (fe, be)
    assert stored(consul)["docker-flow/go-demo/consultemplatefepath"] == fe
    add(consul, "go-demo", origins["b"])
    wait_until(lambda: proxy.api("state").json["Services"]["go-demo"]["Waiting"] == 1, 5, "it has been seen")
    assert proxy.instances("/demo") == {"a"}
    consul.deregister(id_a)
    consul.register("go-demo", origins["c"].host, origins["c"].port, id=id_a, meta={"registrar-container": "c-a"})
    wait_until(lambda: proxy.instances("/demo") == {"c"}, 5, "an admitted container is followed inside a template too")
    proxy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe, consulTemplateBePath=be)
    assert proxy.instances("/demo") == {"b", "c"}
    proxy.api("remove", serviceName="go-demo")
    assert proxy.get("/demo").status == 503


def test_a_template_changes_only_when_it_is_asked_to(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    """Text, keys and services are part of the release: editing the file or a key moves nothing."""
    add(consul, "go-demo", origins["a"])
    consul.kv_put("settings/path", "/one")
    paths = '{{ key "settings/path" }} {{ keyOrDefault "settings/more" "/two" }}'
    fe = write(proxy, "fe.ctmpl", f"    acl p path_beg {paths}\n    use_backend go-demo-be if p\n")
    be = write(proxy, "be.ctmpl", BE)
    call = {"serviceName": "go-demo", "consulTemplateFePath": fe, "consulTemplateBePath": be}
    assert proxy.api("reconfigure", **call).status == 200
    assert [proxy.get(p).status for p in ("/one", "/two", "/three")] == [200, 200, 503]
    consul.kv_put("settings/path", "/three")
    write(proxy, "fe.ctmpl", "nonsense")
    proxy.kill9()
    proxy.wipe()
    proxy.start().wait_ready()
    assert [proxy.get(p).status for p in ("/one", "/two", "/three")] == [200, 200, 503]
    write(proxy, "fe.ctmpl", '    acl p path_beg {{ key "settings/path" }}\n    use_backend go-demo-be if p\n')
    assert proxy.api("reconfigure", **call).status == 200
    assert [proxy.get(p).status for p in ("/one", "/two", "/three")] == [503, 503, 200]


REFUSALS = [
    ("be.ctmpl", "backend x\n{{ env \"HOME\" }}\n", "env"),
    ("be.ctmpl", "backend x\n{{ file \"/etc/passwd\" }}\n", "file"),
    ("be.ctmpl", "backend x\n{{ range service \"x\" }}\n", "line 2"),
    ("be.ctmpl", "backend x\n{{ key \"no/such\" }}\n", "no/such"),
    ("be.ctmpl", "global\n  daemon\n", "global"),
    ("be.ctmpl", "defaults\n  timeout client 1\n", "defaults"),
    ("be.ctmpl", "  server a 1.2.3.4:5\n", "before any section"),
    ("be.ctmpl", "backend x\n  no-such-directive\n", "HAProxy:"),
    ("be.ctmpl", "backend other-be\n", "other-be"),
    ("be.j2", "backend x\n{{ nothing }}\n", "nothing"),
    ("be.j2", "backend x\n{% for %}\n", "line 2"),
    ("be.j2", "backend x\n{{ ''.__class__.__mro__ }}\n", "be.j2"),
]


@pytest.fixture(scope="module")
def busy(module_consul: ConsulServer, origins: dict[str, Origin]) -> Iterator[ProxyProcess]:
    """A proxy that serves something while templates are refused."""
    with ProxyProcess(module_consul.address) as running:
        add(module_consul, "other", origins["c"])
        assert running.api("reconfigure", serviceName="other", servicePath="/other").status == 200
        yield running


@pytest.mark.parametrize(("name", "text", "said"), REFUSALS)
def test_a_template_that_cannot_be_served_is_refused_by_name_and_hurts_nobody(
        module_consul: ConsulServer, busy: ProxyProcess, name: str, text: str, said: str) -> None:
    before = stored(module_consul)
    fe, be = write(busy, "fe.ctmpl", "    acl q path_beg /q\n"), write(busy, name, text)
    status, answer = busy.api("reconfigure", serviceName="t", consulTemplateFePath=fe, consulTemplateBePath=be)
    assert (status, answer["Status"]) == (400, "NOK")
    assert said in answer["Message"]
    assert stored(module_consul) == before
    assert busy.instances("/other", requests=3) == {"c"}


@pytest.mark.parametrize(("path", "said"), [
    ("/etc/passwd", "is not below"), ("../../etc/passwd", "'..'"), ("nowhere.ctmpl", "no file"),
    ("link", "is not below"), ("pipe", "no file"), (".", "no file")])
def test_only_files_below_the_operators_directory_are_templates(busy: ProxyProcess, path: str, said: str) -> None:
    import os
    link, pipe = busy.templates_path / "link", busy.templates_path / "pipe"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
        os.mkfifo(pipe)
    status, answer = busy.api("reconfigure", serviceName="t", consulTemplatePath=path)
    assert status == 400
    assert "consulTemplatePath" in answer["Message"]
    assert said in answer["Message"]
    assert "root:" not in answer["Message"]


def test_two_templates_with_one_acl_name_are_kept_apart(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    fe, be = write(proxy, "fe.ctmpl", FE), write(proxy, "be.ctmpl", BE)
    assert proxy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe,
                     consulTemplateBePath=be).status == 200
    other = write(proxy, "be2.ctmpl", BE.replace("go-demo-be", "second-be"))
    status, answer = proxy.api("reconfigure", serviceName="second", consulTemplateFePath=fe, consulTemplateBePath=other)
    assert status == 400
    assert "url_go-demo" in answer["Message"]
    assert proxy.instances("/demo") == {"a"}


HOSTILE = ["x\n  server evil 127.0.0.1:1", "x ssl", "x#", "'x", '"${API_TOKEN}"', "x\\n", "$HOME"]


@pytest.mark.parametrize("tag", HOSTILE)
def test_text_from_the_catalog_cannot_add_to_a_line(
        module_consul: ConsulServer, busy: ProxyProcess, origins: dict[str, Origin], tag: str) -> None:
    a = origins["a"]
    fe = write(busy, "fe.ctmpl", FE)
    # As a tag, to be printed or only compared, and as an id.
    module_consul.register("go-demo", a.host, a.port, id="hostile", tags=[tag, "good"])
    printing = (("be.ctmpl", BE.replace("check", "check # {{ range $e.Tags }}{{ . }}{{ end }}")),
                ("be.j2", BE_J2.replace("check", "check # {{ e.Tags | join('-') }}")),
                ("be.j2", BE_J2.replace("check", "check # {{ '-'.join(e.Tags) }}")),
                ("be.j2", BE_J2.replace("check", "check # {% for t in e.Tags %}{{ t | upper }}{% endfor %}")),
                ("be.j2", BE_J2.replace("check", "check # {% for t in e.Tags %}{{ t ~ 'x' }}{% endfor %}")),
                ("be.j2", BE_J2.replace("check", "check # {{ e }}")))
    for name, text in printing:
        status, answer = busy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe,
                                  consulTemplateBePath=write(busy, name, text))
        assert status == 400, (name, answer)
        assert "control character may not reach" in answer["Message"] or "_Unprintable" in answer["Message"]
    comparing = (("be.ctmpl", '{{ range $i, $e := service "go-demo" }}{{ range $e.Tags }}{{ if eq . "good" }}'
                              "    server s {{ $e.Address }}:{{ $e.Port }}\n{{ end }}{{ end }}{{ end }}"),
                 ("be.j2", '{% for e in service("go-demo") if "good" in e.Tags and "bad" not in e.Tags %}'
                           "    server s {{ e.Address }}:{{ e.Port }}\n{% endfor %}"))
    for name, text in comparing:
        status, answer = busy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe,
                                  consulTemplateBePath=write(busy, name, "backend go-demo-be\n" + text))
        assert status == 200, answer
        assert busy.instances("/demo", requests=3) == {"a"}
    assert busy.api("remove", serviceName="go-demo").status == 200
    module_consul.deregister("hostile")
    if "\n" in tag:
        return  # Consul takes none in an id
    module_consul.register("go-demo", a.host, a.port, id=tag)
    for name, text in (("be.ctmpl", BE.replace("$e.Node", "$e.ID")), ("be.j2", BE_J2.replace("e.Node", "e.ID"))):
        status, answer = busy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe,
                                  consulTemplateBePath=write(busy, name, text))
        assert (status, "may not reach the configuration" in answer["Message"]) == (400, True), answer
    module_consul.deregister(tag)


def test_the_environment_of_proxy_api_is_not_haproxys(consul: ConsulServer) -> None:
    """Neither when a configuration is checked nor when it runs: the name would stand in the state of the servers."""
    with ProxyProcess(consul.address, env={"API_TOKEN": "sekret-of-the-test"}) as proxy:
        def ask(text: str) -> Answer:
            write(proxy, "t.cfg", text)
            return proxy.call("GET", "reconfigure", {"serviceName": "t", "consulTemplatePath": "t.cfg"},
                              {"Authorization": "Bearer sekret-of-the-test"})
        # In a check's complaint ...
        status, answer = ask('backend t\n    "no-${API_TOKEN}" x\n')
        assert status == 400
        assert "sekret" not in answer["Message"]
        # ... and in what runs.
        assert ask('backend t\n    server "s${API_TOKEN}" 127.0.0.1:1\n').status == 200
        state = Haproxy(str(proxy.configs_path)).runtime.ask("show servers state t")
        assert " s 127.0.0.1 " in state
        for pid in proxy.haproxy_pids():
            assert b"sekret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_template_that_follows_all_follows_checks_before_and_after_a_restart(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    for name in ("a", "b"):
        consul.put("/v1/agent/check/register", {
            "Name": f"of-{name}", "ServiceID": add(consul, "go-demo", origins[name]), "TTL": "1h", "Status": "passing"})
    fe = write(proxy, "fe.ctmpl", FE)
    be = write(proxy, "be.ctmpl", BE.replace('"any"', '"passing"'))
    proxy.api("reconfigure", serviceName="go-demo", consulTemplateFePath=fe, consulTemplateBePath=be, follow="all")
    assert proxy.instances("/demo") == {"a", "b"}
    for restart in (False, True):
        if restart:
            proxy.kill9()
            proxy.start().wait_ready()
        consul.put("/v1/agent/check/fail/of-b")
        wait_until(lambda: proxy.instances("/demo") == {"a"}, 8, "the one that fails is out")
        consul.put("/v1/agent/check/pass/of-b")
        wait_until(lambda: proxy.instances("/demo") == {"a", "b"}, 8, "it is back")
