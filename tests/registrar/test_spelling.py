"""Keys that were meant for us and are not read: told, with what they should be."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.core import spelling, urls
from registrar.core.services import services_of
from tests.registrar.documents import NODE, WILD, container, settings

MEANT = {
    "service_name": "SERVICE_NAME", "service.name": "SERVICE_NAME", "SERVICE.80.NAME": "SERVICE_80_NAME",
    "Service-Tags": "SERVICE_TAGS", "service_80_check_http": "SERVICE_80_CHECK_HTTP",
    "service.53.udp.name": "SERVICE_53_UDP_NAME", "service.80-90.ignore": "SERVICE_80-90_IGNORE",
}


def faults(labels, **more):
    found = services_of(container(ports={"80/tcp": [(WILD, 1)]}, labels=labels, **more), None, NODE, settings())
    return {fault.key: fault.rule for fault in found.faults}


@pytest.mark.parametrize("module", [spelling, urls])
def test_the_examples_hold(module):
    assert doctest.testmod(module).failed == 0


@given(st.sampled_from(["http", "https"]), st.text())
def test_whatever_is_written_for_a_path_is_one_or_is_refused(kind, text):
    try:
        path, _ = urls.read_path(kind, text, "10.0.0.5", (32768, 8080))
    except urls.NoPath:
        return
    assert path.startswith("/") and path.isprintable() and " " not in path


@pytest.mark.parametrize(("written", "meant"), MEANT.items())
def test_a_key_in_another_spelling_is_told_with_ours(written, meant):
    assert f"did you mean {meant}?" in faults({written: "x"})[written]
    assert f"did you mean {meant}?" in faults({}, env={written: "x"})[written]


@pytest.mark.parametrize("key", ["service.version", "service", "services.name", "com.example.service.name",
                                 "service_region", "SERVICE_REGION"])
def test_what_is_none_of_ours_in_any_spelling_is_left_alone(key):
    assert faults({key: "x"}) == {}


def test_a_key_that_is_there_in_our_spelling_too_is_meant_for_somebody_else():
    assert faults({"service.name": "x", "SERVICE_NAME": "x"}) == {}


def test_a_misspelt_key_of_a_check_is_told_with_the_right_one():
    assert "did you mean SERVICE_CHECK_HTTP?" in faults({"SERVICE_CHECK_HTPP": "/"})["SERVICE_CHECK_HTPP"]


def test_it_is_told_also_where_there_is_no_port():
    found = services_of(container(labels={"service.port": "9000"}), None, NODE, settings())
    assert [fault.key for fault in found.faults] == ["service.port"]
