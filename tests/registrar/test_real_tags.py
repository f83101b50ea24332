"""Tag templates on the real engine and a real Consul, with a container that they do not fit and a page that is slow."""

import secrets

import pytest

from deploy.local import Container, RegistrarProcess, wait_until
from tests.registrar.site import Site

pytestmark = pytest.mark.usefixtures("go_demo_image")

TEMPLATE = ("prod,host={{.Config.Hostname}},id={{strSlice .ID 0 12}},"
            '{{range $k, $v := .Config.Labels}}{{if eq $k "com.example.team"}}team-{{$v}}{{end}}{{end}},'
            '{{with matchFirstElement "^ROLE=" .Config.Env}}{{splitIndex 1 "=" .}}{{end}},'
            r'port={{(index (index .NetworkSettings.Ports "8080/tcp") 0).HostPort}},a\,b,'
            '{{index (split "/" .Config.Labels.shard) 1}}')


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, **more):
    only = "=".join(*label.items())
    return RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", only, *flags, **more)


def tags(consul, service):
    found = consul.instances(service)
    return found[0]["ServiceTags"] if found else []


def test_each_container_gets_the_tags_that_fit_it_and_the_rest_is_told(consul, label, tmp_path):
    log = tmp_path / "registrar.log"
    with start(consul, label, "-tags", TEMPLATE, http=True, log=log).wait_ready() as registrar:
        fits = label | {"com.example.team": "blue", "shard": "eu/3"}
        env = {"SERVICE_NAME": "fits", "SERVICE_TAGS": "own", "ROLE": "api"}
        with Container(labels=fits, env=env, hostname="h-1") as one, \
                Container(labels=label | {"shard": "none"}, env={"SERVICE_NAME": "fails"}) as other:
            wait_until(lambda: tags(consul, "fits") and tags(consul, "fails"), 10)
            assert tags(consul, "fits") == ["own", "prod", "host=h-1", f"id={one.id[:12]}", "team-blue", "api",
                                            f"port={one.port()}", "a,b", "3"]
            assert tags(consul, "fails") == ["prod", f"host={other.id[:12]}", f"id={other.id[:12]}",
                                             f"port={other.port()}", "a,b"]
            # The journal is written once Consul has the entries.
            faults = wait_until(lambda: [line for line in log.read_text().splitlines() if "event=metadata" in line])
            assert len(faults) == 1 and f"container={other.name} key=-tags" in faults[0]
            assert "index out of range: 1" in faults[0]
            assert registrar.get("/ready").status == 200
            one.restart()
            wait_until(lambda: f"port={one.port()}" in tags(consul, "fits"), 10)


def test_a_page_that_does_not_come_holds_up_no_container_and_its_tag_follows(consul, label):
    with Site({"/zone": '{"zone": "eu-1"}'}) as site:
        site.open.clear()
        template = 'prod,zone-{{jsonParse (httpGet "' + site.address + '/zone") "zone"}}'
        with Container(labels=label, env={"SERVICE_NAME": "one"}):
            with start(consul, label, "-tags", template, http=True).wait_ready() as registrar, \
                    Container(labels=label, env={"SERVICE_NAME": "two"}):
                wait_until(lambda: tags(consul, "one") == tags(consul, "two") == ["prod"], 10)
                assert site.asked == ["/zone"]
                site.open.set()
                wait_until(lambda: tags(consul, "one") == tags(consul, "two") == ["prod", "zone-eu-1"], 20)
                registrar.kill()
            site.answers["/zone"] = 500
            with start(consul, label, "-tags", template, http=True).wait_ready() as registrar:
                registrar.wait_until(lambda: "answers 500" in registrar.tail())
                assert tags(consul, "one") == ["prod", "zone-eu-1"]


def test_a_single_pass_waits_for_the_page(consul, label):
    with Site({"/zone": "eu-1"}) as site, Container(labels=label, env={"SERVICE_NAME": "one"}), \
            start(consul, label, "--once", "-tags", "{{httpGet `" + site.address + "/zone`}}") as registrar:
        wait_until(lambda: registrar.returncode == 0, 20)
        assert tags(consul, "one") == ["eu-1"]
