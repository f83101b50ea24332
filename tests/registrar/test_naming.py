"""Names and ids that nobody gave."""

import pytest

from registrar.core.naming import default_id, default_name, node_id_from, read_custom_id, read_node_id
from tests.registrar.documents import container

COMPOSE = {"com.docker.compose.service": "app"}
STACK = {"com.docker.swarm.service.name": "stack_app"}
BY_ID = {"image_id": "sha256:35391ef3a2d4" + "0" * 52}

NAMES = {
    "the last element of the path": ({"image": "vfarcic/go-demo"}, "go-demo"),
    "without its tag": ({"image": "tiny:1"}, "tiny"),
    "a registry's port is no tag": ({"image": "localhost:5000/team/web:2.1"}, "web"),
    "without a digest": ({"image": "nginx@sha256:0123"}, "nginx"),
    "without tag and digest": ({"image": "nginx:latest@sha256:0123"}, "nginx"),
    "an image id names nothing: the compose service does": (
        {**BY_ID, "image": "sha256:35391ef3a2d4" + "0" * 52, "labels": COMPOSE}, "app"),
    "or the swarm service": ({**BY_ID, "image": "35391ef3a2d4", "labels": STACK}, "stack_app"),
    "or a name of the image": ({**BY_ID, "image": "35391ef3a2d4", "image_tags": ("team/web:1",)}, "web"),
    "or the container": ({**BY_ID, "image": "35391ef3a2d4", "name": "job_3"}, "job_3"),
    "a hexadecimal name is a name unless the image's id begins so": ({"image": "cafe"}, "cafe"),
    "what breaks a DNS lookup is replaced": ({"image": "team/node.js"}, "node-js"),
}


@pytest.mark.parametrize(("changes", "name"), NAMES.values(), ids=NAMES)
def test_default_name(changes, name):
    assert default_name(container(**changes)) == name


def test_default_id_is_registrators_with_the_protocol_only_where_it_is_not_tcp():
    both = container(name="dns_1", ports={"53/tcp": [("0.0.0.0", 1)], "53/udp": [("0.0.0.0", 2)]})
    assert [default_id("n1", both, port) for port in both.ports] == ["n1:dns_1:53", "n1:dns_1:53:udp"]


@pytest.mark.parametrize("text", ["", " ", "a:b", "-a", "a b", "a/b", "x" * 129, "a\n"])
def test_a_node_id_that_would_make_ids_ambiguous_is_refused(text):
    with pytest.raises(ValueError, match="letters"):
        read_node_id(text)


def test_any_engine_name_makes_a_valid_node_id():
    for name in ("vm", "node.example.org", "my host", "_x", "é", "x" * 300):
        assert read_node_id(node_id_from(name))


@pytest.mark.parametrize("text", ["a//b", "/a", "a/", "../b", "a/./b", "a\nb", "x" * 257])
def test_an_id_that_would_not_survive_a_url_is_refused(text):
    with pytest.raises(ValueError, match="relative path"):
        read_custom_id(text)


@pytest.mark.parametrize("text", ["web", "a/b", "host:web:80", "web 1", "web?x#y%z", "a..b"])
def test_other_ids_are_taken(text):
    assert read_custom_id(text) == text
