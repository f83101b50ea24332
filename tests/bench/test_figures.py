"""What a run prints and writes: verdicts, missed goals with their reasons, a plot that shows what was measured."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import document, plot
from bench.__main__ import main
from bench.figures import Figure, Point

SVG = "{http://www.w3.org/2000/svg}"
MISSED = Figure("some part", "a change", 30.0, "median 30.0 ms", 3.0, "a read", "10.0 ms", goal=2.0)
FAST = Figure("some part", "requests/s", 970.0, "median 970 /s", 0.97, "by hand", "1,000 /s", goal=0.97, at_least=True)
LOST = Figure("other part", "requests | lost", 1, "1 of 100", goal=0)
PLAIN = Figure("other part", "memory", 90.0, "90 MB")


@pytest.mark.parametrize(("figure", "met", "line"), [
    (MISSED, False, "3.00 x a read; median 30.0 ms; floor 10.0 ms (goal ≤ 2 ×, MISSED)"),
    (FAST, True, "0.97 x by hand; median 970 /s; floor 1,000 /s (goal ≥ 0.97 ×, met)"),
    (LOST, False, "1 of 100 (goal ≤ 0, MISSED)"),
    (PLAIN, None, "90 MB"),
])
def test_a_figure_says_whether_its_goal_is_met(figure: Figure, met: bool | None, line: str) -> None:
    assert figure.met is met
    assert re.sub(r" {2,}", " ", figure.line()) == f"{figure.what} {line}"


def test_the_page_names_every_missed_goal_with_its_reason_and_everything_that_went_wrong() -> None:
    page = document.written([MISSED, FAST, LOST, PLAIN], ["it fell over"], [("processor", "one")], "python -m bench",
                            "x.svg", {"a ch": "because of the read"})
    missed = page.partition("## Goals that are missed")[2].partition("\n## ")[0]
    assert "| a change | some part | 3.00 × | ≤ 2 × | because of the read |" in missed
    assert "| requests \\| lost | other part | 1.00 | ≤ 0 | not yet known |" in missed
    assert "requests/s" not in missed
    assert "- it fell over\n" in page
    assert "| processor | one |" in page
    assert "](x.svg)" in page
    assert "| memory |  | 90 MB |  |  |" in page.partition("## other part")[2]


values = st.floats(min_value=1e-3, max_value=1e7)


@given(st.lists(st.builds(Point, st.sampled_from(["one", "two & <more>"]), st.sampled_from(["a", "b"]), values, values),
                min_size=1, max_size=20))
def test_every_point_is_inside_of_its_plot(points: list[Point]) -> None:
    drawing = ET.fromstring(plot.drawn(points, "services"))
    height = int(drawing.attrib["height"])
    assert height == plot.HEIGHT * len({p.plot for p in points})
    circles = list(drawing.iter(f"{SVG}circle"))
    assert len(circles) == len(points)
    for circle in circles:
        assert 0 < float(circle.attrib["cx"]) < plot.WIDTH
        assert 0 < float(circle.attrib["cy"]) < plot.HEIGHT


def test_more_is_higher_and_further_right() -> None:
    drawing = ET.fromstring(plot.drawn([Point("p", "s", 10, 5), Point("p", "s", 1000, 500)], "services"))
    low, high = list(drawing.iter(f"{SVG}circle"))
    assert float(low.attrib["cx"]) < float(high.attrib["cx"])
    assert float(low.attrib["cy"]) > float(high.attrib["cy"])


@pytest.mark.parametrize(("words", "said"), [
    (["proxies"], "proxies is not one of proxy, registrar"),
    (["--sizes", "10,many"], "'10,many' is not a list of numbers above 2"),
    (["--sizes", ""], "'' is not a list of numbers above 2"),
])
def test_a_wrong_word_ends_the_run_before_it_begins(words: list[str], said: str,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
