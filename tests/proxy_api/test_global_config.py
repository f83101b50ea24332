"""What the configuration is told of the settings: above all, of the password of the statistics page."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from proxy_api.core.settings import from_environ
from proxy_api.haproxy.global_config import GlobalConfig

PASSWORD = "correct horse"


def hashed(folder: Path, password: str = PASSWORD) -> str:
    settings = from_environ({"CONFIGS_PATH": str(folder), "STATS_USER": "ops", "STATS_PASS": password})
    return GlobalConfig(settings, "/s")().stats_pass_hash


def test_equal_settings_hash_alike_in_one_place_and_otherwise_elsewhere(short: Path) -> None:
    here, there = short / "a", short / "b"
    here.mkdir()
    there.mkdir()
    assert hashed(here) == hashed(here)
    assert hashed(here) != hashed(there)
    assert hashed(here).startswith("$6$")


def test_the_salt_says_nothing_of_the_password_and_is_this_users_alone(short: Path) -> None:
    salt = hashed(short).split("$")[2]
    assert len(salt) == 16
    assert salt == hashed(short, "another").split("$")[2]
    assert salt not in hashlib.sha256(f"ops\0{PASSWORD}".encode()).hexdigest()
    file, = short.iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert PASSWORD not in file.read_text()


def test_a_broken_salt_is_replaced_and_a_disk_that_takes_none_costs_no_start(short: Path) -> None:
    (short / "stats.salt").write_text("$6$")
    first = hashed(short)
    assert first == hashed(short)
    assert hashed(short / "nowhere") != first
    assert os.listdir(short) == ["stats.salt"]
