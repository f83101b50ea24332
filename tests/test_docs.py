"""That the documents say what the program is: their tables are written from its own rows."""

from __future__ import annotations

import pytest

from deploy import docs
from proxy_api.core import parameters
from proxy_api.core.settings import SETTINGS


def test_the_tables_are_current() -> None:
    text = docs.DOCUMENT.read_text(encoding="utf-8")
    assert docs.filled(text) == text, "run: python -m deploy.docs"


def test_a_row_that_was_changed_by_hand_is_written_anew() -> None:
    text = docs.DOCUMENT.read_text(encoding="utf-8")
    assert docs.filled(text.replace("| `serviceName` |", "| `serviceTitle` |")) == text
    with pytest.raises(ValueError, match="no marker for 'parameters'"):
        docs.filled(text.replace("<!-- parameters:", "<!-- else:"))


def test_every_setting_and_parameter_is_there() -> None:
    text = docs.DOCUMENT.read_text(encoding="utf-8")
    rows = [(p.name, p.help) for p in (*parameters.SPEC, *parameters.CALL)] + [(s.name, s.help) for s in SETTINGS]
    for name, meaning in rows:
        assert f"\n| `{name}` |" in text
        assert meaning.replace("|", "\\|") in text
