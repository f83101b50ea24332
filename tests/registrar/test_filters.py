"""--include, --exclude and one-offs: which containers are looked at, and what is said of the others."""

import pytest

from registrar.core.options import UsageError
from registrar.core.services import services_of
from tests.registrar.documents import NODE, WILD, container, settings

WEB = {"ports": {"8080/tcp": [(WILD, 32768)]}, "name": "shop_web_1", "image": "team.example:5000/team/web:2.1",
       "networks": {"front": "172.18.0.2", "back": "172.19.0.2"},
       "labels": {"com.docker.compose.project": "shop", "tier": "web", "empty": ""}}


def left_out(*flags, **changes):
    """The reason that the container is not registered for, "" where it is."""
    found = services_of(container(**{**WEB, **changes}), None, NODE, settings(*flags))
    assert bool(found.registrations) != bool(found.skips)
    return found.skips[0].reason if found.skips else ""


@pytest.mark.parametrize("text", [
    "name=shop_web_1", "name=shop_*", "label=tier", "label=tier=web", "label=tier=w?b", "label=empty",
    "image=team.example:5000/team/web:2.1", "image=team.example:5000/team/web", "image=web", "image=*/web",
    "network=front", "network=b*", "project=shop"])
def test_what_matches(text):
    assert left_out("--exclude", text) == f"left out by --exclude {text}"
    assert not left_out("--include", text)


@pytest.mark.parametrize("text", [
    "name=web", "name=SHOP_*", "label=tier=", "label=ti*", "label=other", "image=we", "image=team/web",
    "network=bridge", "project=sho"])
def test_what_does_not(text):
    assert left_out("--include", text) == f"matches no --include {text}"
    assert not left_out("--exclude", text)


def test_of_each_kind_one_include_has_to_match():
    assert not left_out("--include", "name=x", "--include", "name=shop*", "--include", "image=web")
    assert left_out("--include", "name=x", "--include", "name=y") == "matches no --include name=x or name=y"
    assert left_out("--include", "name=shop*", "--include", "image=db") == "matches no --include image=db"


def test_an_exclude_beats_an_include():
    assert left_out("--include", "name=shop*", "--exclude", "project=shop")


def test_an_image_given_by_its_id_is_known_by_its_tags():
    made = {"image": "sha256:" + "ab" * 32, "image_tags": ("team/web:2",)}
    assert not left_out("--include", "image=web", **made)


def test_a_stack_is_a_project():
    assert not left_out("--include", "project=shop", labels={"com.docker.stack.namespace": "shop"})


def test_a_one_off_of_compose_is_registered_only_if_that_is_asked_for():
    labels = {"com.docker.compose.oneoff": "True"}
    assert "--one-offs" in left_out(labels=labels)
    assert not left_out("--one-offs", labels=labels)
    assert not left_out(labels={"com.docker.compose.oneoff": "False"})


@pytest.mark.parametrize("text", ["web", "colour=red", "name=", "=x"])
def test_a_filter_that_is_none_is_refused_with_what_would_be_right(text):
    with pytest.raises(UsageError, match="KIND=PATTERN, KIND being one of label, name, image, network, project"):
        settings("--include", text)
