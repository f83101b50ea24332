"""Every HAProxy that has to work: the one of this system, and those that `make test` has fetched."""

from __future__ import annotations

from deploy.process import ROOT

# Version to program. 2.6, the floor, is what Debian 12 has.
PROGRAMS = {"system": "haproxy", **{version: str(ROOT / ".tools" / f"haproxy-{version}" / "haproxy")
                                    for version in ("3.0", "3.2", "3.4")}}
