"""The settings that lie in files: `dfp_<name>` among the secrets, and the file of the token. Edge."""

from collections.abc import Iterable, Mapping
from pathlib import Path


class Unusable(Exception):
    """A file that cannot be read, or is empty and must not be; the text names it, and never what is in it."""


def read(directory: Path, names: Iterable[str]) -> dict[str, str]:
    """What lies in `dfp_<name>`, by name, for those that are there. Raises Unusable."""
    found = {name: _text(file) for name in names if (file := directory / f"dfp_{name}").is_file()}
    if "api_token" in found:
        _demand(found["api_token"], directory / "dfp_api_token")
    return found


def token(secrets: Mapping[str, str], environ: Mapping[str, str], flag: str | None) -> str | None:
    """The token in the file that API_TOKEN_FILE names, by flag, secret or variable; None for no such file.

    Raises Unusable.
    """
    path = (flag or secrets.get("api_token_file") or environ.get("API_TOKEN_FILE") or "").strip()
    if not path:
        return None
    text = _text(Path(path))
    _demand(text, Path(path))
    return text


def _text(file: Path) -> str:
    """Its text, without the blanks and line breaks around it and the mark that some editors put first."""
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Unusable(f"{file} cannot be read: it is no text in UTF-8") from None
    except OSError as fault:
        raise Unusable(f"{file} cannot be read: {fault.strerror}") from None


def _demand(text: str, file: Path) -> None:
    """An empty file is a secret that was not written yet: without this the API would be open to all."""
    if not text:
        raise Unusable(f"API_TOKEN: {file} is empty; write the token into it, or leave the file out")
