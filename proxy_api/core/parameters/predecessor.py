"""Parameters of the predecessor that this version does not have, and what leaving one out would mean. Core.

Names and meanings: reference/proxy-api.md 2.2 to 2.10. To ignore one that narrows who gets in, or that changes what is
served, would serve something else than was asked for: it is refused. The rest is told and ignored.
"""

import re
from dataclasses import dataclass
from typing import Literal

from proxy_api.core import grammar

Effect = Literal["restricts", "serves", "nothing"]


@dataclass(frozen=True, slots=True)
class Absent:
    """A parameter that the predecessor has and this version has not. `without` are values that mean the same as not
    giving it, in lower case.
    """

    name: str
    effect: Effect
    without: frozenset[str] = frozenset()


_OFF = frozenset(("0", "f", "false", "no", "off"))


def _rows(effect: Effect, names: str, without: frozenset[str] = frozenset()) -> tuple[Absent, ...]:
    return tuple(Absent(name, effect, without) for name in names.split())


ROWS = (
    *_rows("restricts", "users usersSecret allowedMethods deniedMethods servicePathExclude serviceHeader userAgent "
                        "srcPort srcHttpsPort serviceDomainAlgo proxyInstanceName"),
    *_rows("restricts", "usersPassEncrypted httpsOnly denyHttp verifyClientSsl redirectWhenHttpProto "
                        "redirectUnlessHttpsProto serviceDomainMatchAll", _OFF),
    Absent("reqMode", "restricts", frozenset(("http",))),
    *_rows("serves", "httpsPort sessionType serviceGroup balanceGroup connectionMode timeoutServer timeoutTunnel "
                     "timeoutClient compressionAlgo compressionType backendExtra httpsRedirectCode redirectFromDomain "
                     "serviceCert addReqHeader addHeader setReqHeader setHeader delReqHeader addResHeader setResHeader "
                     "delResHeader reqPathSearchReplace reqPathSearch reqPathReplace reqRepSearch reqRepReplace "
                     "templateFePath templateBePath"),
    *_rows("serves", "isDefaultBackend sslVerifyNone checkTcp clitcpka ignoreAuthorization", _OFF),
    Absent("discoveryType", "serves", frozenset(("overlay",))),
    *_rows("nothing", "aclName replicas checkResolvers userDef xForwardedProto lookupRetry lookupRetryInterval "
                      "servicePort tasks debug aclCondition isGlobal useGlobalUsers"),
)
_BY_NAME = {row.name.lower(): row for row in ROWS}


def absent(name: str) -> Absent | None:
    """The row of a parameter as the predecessor read it: in any case, and with a destination's number behind it."""
    return _BY_NAME.get(re.sub(r"\.[0-9]+$", "", name).lower())


def is_without_effect(row: Absent, text: str) -> bool:
    """Whether this value asks for nothing that is not served anyway."""
    return row.effect == "nothing" or not text or text.lower() in row.without


def refusal(row: Absent) -> tuple[str, str]:
    """What is wrong with giving it, and what would be right."""
    what = ("without it the service would be open to more than was asked for" if row.effect == "restricts"
            else "without it something else would be served than was asked for")
    return "the predecessor has this, this version does not", f"{what}: leave it out only if that is what you want"


def remark(row: Absent, name: str) -> str:
    """What to tell of one that is ignored."""
    return f"{grammar.shown(name)} was ignored: the predecessor has this, this version does not need it"
