"""What is written so that Consul holds what is wanted."""

from hypothesis import given
from hypothesis import strategies as st

from catalog.model import AgentService
from registrar.core.plan import plan, settle
from registrar.core.registered import owned
from registrar.core.registration import Registration, marked

ME, OTHER = "n1", "n2"


def wanted(container="c1", port=80, id="", name="web", owner=ME, created="1", **meta):
    default_id = f"{owner}:{container}:{port}"
    draft = Registration(id=id or default_id, default_id=default_id, name=name, address="10.0.0.5", port=port,
                         protocol="tcp", tags=(), meta=tuple(sorted(meta.items())), check=(),
                         container_name=container, created=created)
    return marked(draft, owner, container)


def held(*registrations):
    return {r.id: r.held() for r in registrations}


FOREIGN = AgentService("db", "db", "10.0.0.9", 5432, (), ())


def test_what_is_missing_is_registered_and_what_is_not_wanted_any_more_is_removed():
    new, old = wanted("new"), wanted("old")
    found = plan([new], held(old), ME)
    assert (found.register, found.deregister) == ((new,), (old.id,))


def test_what_stands_as_wanted_is_left_alone():
    assert not plan([wanted()], held(wanted()), ME)


def test_a_difference_in_anything_is_a_write_also_one_that_only_the_fingerprint_shows():
    before = held(wanted())
    for now in (wanted(name="other"), wanted(region="eu")):
        assert plan([now], before, ME).register == (now,)
    edited = {key: AgentService(s.id, s.name, "10.6.6.6", s.port, s.tags, s.meta) for key, s in before.items()}
    assert plan([wanted()], edited, ME).register == (wanted(),)


def test_entries_of_others_and_of_nobody_are_not_removed():
    foreign = wanted("c9", owner=OTHER)
    assert not plan([], {**held(foreign), "db": FOREIGN}, ME)


def test_entries_of_a_kept_container_stay():
    assert not plan([], held(wanted("failed")), ME, keep={"failed"})


def test_a_custom_id_that_is_anothers_gives_way_to_the_default_one_and_is_reported():
    mine = wanted(id="db")
    settled = settle([mine], {"db": FOREIGN}, ME)
    assert [r.id for r in settled.registrations] == ["n1:c1:80"]
    assert settled.registrations[0].mark != mine.mark
    assert "taken by an entry of another owner" in settled.faults[0].rule


def test_two_containers_that_want_one_id_do_not_fight_the_older_one_has_it():
    young, old = wanted("a", id="x", created="2"), wanted("b", id="x", created="1")
    for order in ([young, old], [old, young]):
        assert sorted(r.id for r in settle(order, {}, ME).registrations) == ["n1:a:80", "x"]
        assert [r.container for r in settle(order, {}, ME).registrations if r.id == "x"] == ["b"]


def test_a_generic_id_on_two_ports_is_the_first_ports_id():
    both = [wanted("a", 80, id="x"), wanted("a", 81, id="x")]
    assert [(r.id, r.port) for r in settle(both, {}, ME).registrations] == [("x", 80), ("n1:a:81", 81)]


def test_a_default_id_that_somebody_else_holds_is_not_overwritten():
    squatter = AgentService("n1:c1:80", "web", "10.0.0.9", 1, (), ())
    settled = settle([wanted()], {squatter.id: squatter}, ME)
    assert settled.registrations == () and "not registered" in settled.faults[0].rule
    assert not plan([wanted()], {squatter.id: squatter}, ME)


registrations = st.lists(st.builds(
    wanted,
    container=st.sampled_from("abcd"), port=st.integers(1, 3), id=st.sampled_from(["", "", "x", "y", "n1:a:1"]),
    name=st.sampled_from(["web", "db"]), created=st.sampled_from("12"),
), max_size=8).map(lambda rs: list({r.default_id: r for r in rs}.values()))
foreigners = st.lists(st.sampled_from(["x", "y", "n1:a:1", "z"]), unique=True).map(
    lambda ids: {i: AgentService(i, "theirs", "10.0.0.9", 9, (), (("registrar-owner", OTHER),)) for i in ids})


@given(registrations, registrations, foreigners, st.randoms())
def test_carrying_out_a_plan_reaches_a_fixed_point_and_touches_nobody_else(before, now, theirs, random):
    present = {**held(*settle(before, theirs, ME).registrations), **theirs}
    random.shuffle(now)
    settled = settle(now, present, ME)
    todo = plan(settled.registrations, present, ME)
    assert not set(todo.deregister) & set(theirs)
    assert not {r.id for r in todo.register} & set(theirs)
    for registration in todo.register:
        present[registration.id] = registration.held()
    for service_id in todo.deregister:
        del present[service_id]
    assert {key: present[key] for key in theirs} == theirs
    assert set(owned(present, ME)) == {r.id for r in settled.registrations}
    again = settle(now, present, ME)
    assert again == settled and not plan(again.registrations, present, ME)
