"""docs/registrar.md says what the program is: its tables are written from the program's own rows."""

from pathlib import Path

import pytest

from engine.events import EVENTS
from registrar.cli import reference

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "registrar.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_are_current():
    assert reference.filled(TEXT) == TEXT, "run: python -m registrar.cli.reference docs/registrar.md"


def test_a_row_that_was_changed_by_hand_is_written_anew():
    assert reference.filled(TEXT.replace("| `NAME` |", "| `NAMES` |")) == TEXT
    with pytest.raises(ValueError, match="no marker for 'keys'"):
        reference.filled(TEXT.replace("<!-- keys:", "<!-- else:"))


def test_every_option_key_event_and_metric_is_there():
    for part in reference.PARTS.values():
        for row in part().splitlines()[2:]:
            assert f"\n{row}\n" in TEXT


def test_of_every_event_that_is_asked_for_it_is_said_what_follows():
    assert tuple(event for event, _ in reference.EVENT_EFFECTS) == EVENTS


def test_writing_it_anew_changes_nothing(tmp_path):
    copy = tmp_path / "registrar.md"
    copy.write_text(TEXT, encoding="utf-8")
    assert reference.main([str(copy)]) == 0 and copy.read_text(encoding="utf-8") == TEXT
    assert reference.main([]) == 2
