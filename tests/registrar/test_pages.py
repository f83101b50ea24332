"""The pages of httpGet against a real web site: nobody waits for one, and what was had is kept."""

import pytest

from deploy.local import free_port, wait_until
from registrar.core.tag_templates import Page
from registrar.network import pages
from registrar.network.pages import Pages, fetch
from tests.registrar.site import Site


@pytest.fixture
def site():
    with Site({"/eu": "Österreich", "/big": b"x" * (pages.MAX_BYTES + 1), "/raw": b"\xff"}) as site:
        yield site


def test_nobody_waits_for_a_page_and_its_coming_is_told(site):
    found, told = Pages(), []
    found.changed = lambda: told.append(found.version)
    site.open.clear()
    assert found.look_up(f"{site.address}/eu") == Page()
    wait_until(lambda: site.asked == ["/eu"])
    assert found.look_up(f"{site.address}/eu") == Page() and not told
    site.open.set()
    wait_until(lambda: found.look_up(f"{site.address}/eu") == Page("Österreich"))
    wait_until(lambda: told == [1])
    assert site.asked == ["/eu"]


def test_the_patient_wait_for_the_first_answer_be_it_a_fault(site):
    found = Pages(patient=True)
    assert found.look_up(f"{site.address}/eu") == Page("Österreich")
    assert found.look_up(f"{site.address}/none") == Page(None, f"{site.address}/none answers 404")


def test_a_page_that_cannot_be_had_is_tried_again_until_it_can(site, monkeypatch):
    monkeypatch.setattr(pages, "RETRY_S", 0.01)
    found = Pages(patient=True)
    assert found.look_up(f"{site.address}/late").text is None
    site.answers["/late"] = "here"
    wait_until(lambda: found.look_up(f"{site.address}/late") == Page("here"))


def test_an_old_page_is_asked_for_again_and_counts_until_there_is_a_new_one(site, monkeypatch):
    monkeypatch.setattr(pages, "RETRY_S", 0.01)
    monkeypatch.setattr(pages, "FRESH_S", 0.0)
    found, url = Pages(patient=True), f"{site.address}/eu"
    assert found.look_up(url).text == "Österreich"
    site.answers["/eu"] = 503
    wait_until(lambda: found.look_up(url) == Page("Österreich", f"{url} answers 503"))
    site.answers["/eu"] = "Wien"
    wait_until(lambda: found.look_up(url) == Page("Wien"))
    before, asked = found.version, len(site.asked)
    wait_until(lambda: found.look_up(url) and len(site.asked) > asked + 1)
    assert found.version == before, "the same text again is no change"


def test_a_slow_page_holds_up_no_other(site):
    found = Pages()
    with Site() as slow:
        slow.open.clear()
        found.look_up(f"{slow.address}/")
        wait_until(lambda: slow.asked)
        found.look_up(f"{site.address}/eu")
        wait_until(lambda: found.look_up(f"{site.address}/eu").text)


def test_what_is_no_text_is_read_all_the_same(site):
    assert fetch(f"{site.address}/raw") == ("\ufffd", "")


def test_faults_name_the_address_without_password_and_query(site, monkeypatch):
    monkeypatch.setattr(pages, "TIMEOUT_S", 0.2)
    host = site.address.removeprefix("http://")
    assert fetch(f"http://me:secret@{host}/none?token=secret") == (None, f"{site.address}/none answers 404")
    assert fetch(f"{site.address}/big")[1] == f"{site.address}/big has more than {pages.MAX_BYTES} bytes"
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert fetch(f"{nowhere}/")[1] == f"{nowhere}/ cannot be read: ConnectionError"
    assert fetch("http://[::1/") == (None, "it is no address")
    site.open.clear()
    assert fetch(f"{site.address}/eu")[1] == f"{site.address}/eu does not answer within 0.2 s"
