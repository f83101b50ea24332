"""Who is taken for dead, and when, on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.core.lost_nodes import NEW_FOR_S, LostNodes, Verdict


@pytest.fixture
def lost_nodes():
    return LostNodes(remove_after_s=100)


def reported(lost_nodes, *look):
    verdict = lost_nodes.look(*look)
    for node in verdict.lost:
        lost_nodes.mark_reported(node)
    for node in verdict.back:
        lost_nodes.mark_returned(node)
    return verdict


def test_a_lease_that_was_seen_is_missed_at_once_told_once_and_its_return_too(lost_nodes):
    assert reported(lost_nodes, 0, {"a", "b"}, {"a", "b"}) == Verdict()
    assert reported(lost_nodes, 1, {"a", "b"}, {"b"}) == Verdict(lost=("a",))
    assert reported(lost_nodes, 2, {"a", "b"}, {"b"}) == Verdict()
    assert reported(lost_nodes, 3, {"a", "b"}, {"a", "b"}) == Verdict(back=("a",))
    assert reported(lost_nodes, 4, {"a", "b"}, {"a", "b"}) == Verdict()
    assert reported(lost_nodes, 5, {"a", "b"}, {"b"}) == Verdict(lost=("a",))


def test_a_node_that_is_just_being_made_has_time_to_get_its_lease(lost_nodes):
    assert reported(lost_nodes, 10, {"a"}, set()) == Verdict()
    assert lost_nodes.due_in(10) == NEW_FOR_S
    assert reported(lost_nodes, 10 + NEW_FOR_S, {"a"}, set()) == Verdict(lost=("a",))


def test_what_could_not_be_said_is_said_at_the_next_look(lost_nodes):
    lost_nodes.look(0, {"a"}, {"a"})
    assert lost_nodes.look(1, {"a"}, set()).lost == lost_nodes.look(2, {"a"}, set()).lost == ("a",)
    lost_nodes.mark_reported("a")
    assert lost_nodes.look(3, {"a"}, {"a"}).back == lost_nodes.look(4, {"a"}, {"a"}).back == ("a",)


def test_the_dead_are_removed_after_a_while_and_those_that_came_back_are_not(lost_nodes):
    reported(lost_nodes, 0, {"a", "b"}, {"a", "b"})
    reported(lost_nodes, 1, {"a", "b"}, set())
    reported(lost_nodes, 50, {"a", "b"}, {"b"})
    reported(lost_nodes, 60, {"a", "b"}, set())
    assert lost_nodes.due_in(60) == 41
    assert reported(lost_nodes, 101, {"a", "b"}, set()).remove == ("a",)
    assert reported(lost_nodes, 102, {"b"}, set()) == Verdict()
    assert reported(lost_nodes, 160, {"b"}, set()).remove == ("b",)


NODES = st.frozensets(st.sampled_from("abc"))


@given(st.lists(st.tuples(st.floats(0, 50), NODES, NODES)))
def test_nobody_who_holds_a_lease_is_ever_taken_for_dead(story):
    lost_nodes, now = LostNodes(100), 0.0
    for pause, nodes, leased in story:
        now += pause
        verdict = reported(lost_nodes, now, nodes, leased)
        assert not {*verdict.lost, *verdict.remove} & leased
        assert {*verdict.lost, *verdict.remove, *verdict.back} <= nodes
        assert set(verdict.back) <= leased
        assert not set(verdict.lost) & set(verdict.remove)
