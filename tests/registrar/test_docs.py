"""docs/registrar.md names every option and every key that means something."""

from pathlib import Path

import pytest

from registrar.attributes import RESERVED
from registrar.checks import KINDS
from registrar.options import OPTIONS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "registrar.md").read_text()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.name)
def test_every_option_is_described(option):
    assert f"`-{option.name}`" in TEXT or f"`--{option.name}`" in TEXT


@pytest.mark.parametrize("key", [*(k.upper() for k in sorted(RESERVED)), *(f"CHECK_{k.upper()}" for k in KINDS)])
def test_every_key_is_described(key):
    assert f"`{key}`" in TEXT
