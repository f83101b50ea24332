"""Registrator's own template functions, and all that a `-tags` template may call. Pure.

What they do, and in which order they take their arguments, is Registrator's (7.4.0, bridge/bridge.go). Where that
would have panicked, this is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from gotemplate import regexp, strings
from gotemplate.faults import Unfit
from gotemplate.functions import BUILTINS, Function, Vocabulary, Want, not_supported
from gotemplate.values import GoMap, Value, shorten, type_name


def str_slice(text: str, *bounds: Value) -> str:
    """Bytes of the text from one index up to another; all of it where it is shorter than they say."""
    data = text.encode(errors="surrogatepass")
    numbers = [_int(bound) for bound in bounds]
    if len(numbers) not in (1, 2) or any(number > len(data) for number in numbers):
        return text
    start, end = numbers[0], numbers[-1] if len(numbers) == 2 else len(data)
    if start < 0 or (start == 0 and end < 0):
        raise Unfit(f"index out of range: {min(start, end)}")
    return data[start : end if end >= start else None].decode(errors="replace")


def s_index(index: Value, texts: tuple[str, ...] | None) -> str:
    """The element at the index, counted from the end if it is negative; the last or first one where it is beyond."""
    if not texts:
        raise Unfit("the list is empty")
    at = _int(index)
    return texts[min(at, len(texts) - 1) if at >= 0 else max(at, -len(texts))]


def m_index(key: str, texts: Value) -> str:
    if not isinstance(texts, GoMap) or texts.zero != "":
        raise Unfit(f"wants a map of strings, got {type_name(texts)}")
    return str(texts.get(key, ""))


def replace(times: Value, old: str, new: str, text: str) -> str:
    return strings.replace(_int(times), old, new, text)


def split_index(index: Value, separator: str, text: str) -> str:
    return s_index(index, strings.split(separator, text))


def match_first(pattern: str, texts: tuple[str, ...] | None) -> str:
    return next(iter(regexp.compiled(pattern).matching(texts or ())), "")


def match_all(pattern: str, texts: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(regexp.compiled(pattern).matching(texts or ()))


def _int(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"wants an int, got {type_name(value)}")
    return value


def json_at(text: str, path: str) -> str:
    """What stands in the JSON text under `a::b::[0]`: text as it is, anything else as JSON. Raises KeyError."""
    found = _parsed(text)
    for key in path.split("::"):
        try:
            found = found[int(key[1:-1])] if isinstance(found, list) and key[:1] + key[-1:] == "[]" else found[key]
        except (LookupError, TypeError, ValueError):
            raise KeyError(path) from None
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise KeyError("JSON") from None


def check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise Unfit(f"{shorten(url)} is not an http:// or https:// address")


def _outside(*_arguments: str) -> Value:
    raise NotImplementedError("given by whoever evaluates")


OWN: Mapping[str, Function] = {
    "strSlice": Function(str_slice, (Want.TEXT,), Want.ANY),
    "sIndex": Function(s_index, (Want.ANY, Want.TEXTS)),
    "mIndex": Function(m_index, (Want.TEXT, Want.ANY)),
    "toUpper": Function(strings.to_upper, (Want.TEXT,)),
    "toLower": Function(strings.to_lower, (Want.TEXT,)),
    "replace": Function(replace, (Want.ANY, Want.TEXT, Want.TEXT, Want.TEXT)),
    "join": Function(strings.join, (Want.TEXT, Want.TEXTS)),
    "split": Function(strings.split, (Want.TEXT, Want.TEXT)),
    "splitIndex": Function(split_index, (Want.ANY, Want.TEXT, Want.TEXT)),
    "matchFirstElement": Function(match_first, (Want.TEXT, Want.TEXTS), check=regexp.check),
    "matchAllElements": Function(match_all, (Want.TEXT, Want.TEXTS), check=regexp.check),
    "httpGet": Function(_outside, (Want.TEXT,), check=check_url),
    "jsonParse": Function(_outside, (Want.TEXT, Want.TEXT)),
}


# How they are written, and what they give.
USAGES: tuple[tuple[str, str], ...] = (
    ("strSlice TEXT START [END]", "bytes START up to END; all of the text where it is shorter than that"),
    ("sIndex I LIST", "the element, counted from the end if I is negative; the last or first one where it is beyond"),
    ("mIndex KEY MAP", "the value of the key, or empty text"),
    ("toUpper TEXT", "in upper case"),
    ("toLower TEXT", "in lower case"),
    ("replace N OLD NEW TEXT", "with the first N of OLD replaced; -1 replaces all"),
    ("join SEPARATOR LIST", "the elements as one text"),
    ("split SEPARATOR TEXT", "the parts as a list"),
    ("splitIndex I SEPARATOR TEXT", "`sIndex` of `split`"),
    ("matchFirstElement PATTERN LIST", "the first element that the pattern matches somewhere, or empty text"),
    ("matchAllElements PATTERN LIST", "all such elements"),
    ("httpGet URL", "what the page holds, as text"),
    ("jsonParse TEXT PATH", "what stands in the JSON text under a path such as `a::b::[0]`, or empty text"),
)


def why_refused(name: str) -> str:
    """The fault for a name that is no function here: the nearest one that is, and all of them."""
    names = sorted(VOCABULARY.names, key=str.lower)
    near = get_close_matches(name, names, 1, cutoff=0.7)
    return (not_supported(name) + (f" (did you mean {near[0]}?)" if near else "") + f"; there are {', '.join(names)}")


VOCABULARY = Vocabulary({**BUILTINS, **OWN}, why_refused=why_refused)
