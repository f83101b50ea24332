"""Who is taken for dead, and when, on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.absences import NEW_FOR_S, Absences, Verdict


@pytest.fixture
def absences():
    return Absences(remove_after_s=100)


def told(absences, *look):
    verdict = absences.look(*look)
    for node in verdict.lost:
        absences.told(node)
    for node in verdict.back:
        absences.settled(node)
    return verdict


def test_a_lease_that_was_seen_is_missed_at_once_told_once_and_its_return_too(absences):
    assert told(absences, 0, {"a", "b"}, {"a", "b"}) == Verdict()
    assert told(absences, 1, {"a", "b"}, {"b"}) == Verdict(lost=("a",))
    assert told(absences, 2, {"a", "b"}, {"b"}) == Verdict()
    assert told(absences, 3, {"a", "b"}, {"a", "b"}) == Verdict(back=("a",))
    assert told(absences, 4, {"a", "b"}, {"a", "b"}) == Verdict()
    assert told(absences, 5, {"a", "b"}, {"b"}) == Verdict(lost=("a",))


def test_a_node_that_is_just_being_made_has_time_to_get_its_lease(absences):
    assert told(absences, 10, {"a"}, set()) == Verdict()
    assert absences.due_in(10) == NEW_FOR_S
    assert told(absences, 10 + NEW_FOR_S, {"a"}, set()) == Verdict(lost=("a",))


def test_what_could_not_be_said_is_said_at_the_next_look(absences):
    absences.look(0, {"a"}, {"a"})
    assert absences.look(1, {"a"}, set()).lost == absences.look(2, {"a"}, set()).lost == ("a",)
    absences.told("a")
    assert absences.look(3, {"a"}, {"a"}).back == absences.look(4, {"a"}, {"a"}).back == ("a",)


def test_the_dead_are_removed_after_a_while_and_those_that_came_back_are_not(absences):
    told(absences, 0, {"a", "b"}, {"a", "b"})
    told(absences, 1, {"a", "b"}, set())
    told(absences, 50, {"a", "b"}, {"b"})
    told(absences, 60, {"a", "b"}, set())
    assert absences.due_in(60) == 41
    assert told(absences, 101, {"a", "b"}, set()).remove == ("a",)
    assert told(absences, 102, {"b"}, set()) == Verdict()
    assert told(absences, 160, {"b"}, set()).remove == ("b",)


NODES = st.frozensets(st.sampled_from("abc"))


@given(st.lists(st.tuples(st.floats(0, 50), NODES, NODES)))
def test_nobody_who_holds_a_lease_is_ever_taken_for_dead(story):
    absences, now = Absences(100), 0.0
    for pause, nodes, leased in story:
        now += pause
        verdict = told(absences, now, nodes, leased)
        assert not {*verdict.lost, *verdict.remove} & leased
        assert {*verdict.lost, *verdict.remove, *verdict.back} <= nodes
        assert set(verdict.back) <= leased
        assert not set(verdict.lost) & set(verdict.remove)
