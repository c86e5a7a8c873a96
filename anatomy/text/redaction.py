"""Addresses without what may be a secret in them: for messages, logs and everything that is kept on disk."""

from __future__ import annotations

import re

HIDDEN = "***"
_ADDRESS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<rest>[^\s\"'`<>«»]*)", re.IGNORECASE)
_PUBLIC = re.compile(r"(huggingface\.co|github\.com|hf\.co)(:443)?", re.IGNORECASE)
_USUAL = re.compile(
    r"(v\d+(beta|alpha)?|api|openai|chat|completions|inference|compatible-mode|serverless|engines|deployments|models|"
    r"proxy|gateway|llm)?[;,.:)]*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """``text`` with the user name, password, query and fragment of every address hidden, and odd parts of its path.

    Some services take a key as a part of the path. Only words that are usual there are kept; addresses of public
    hosts that name models and data sets by their paths keep them.
    """
    return _ADDRESS.sub(lambda found: found["scheme"] + _rest(found["rest"]), text) if "://" in text else text


def _rest(rest: str) -> str:
    address, *hidden = re.split(r"[?#]", rest, maxsplit=1)
    authority, slash, path = address.partition("/")
    if "@" in address:  # a password may hold a slash
        _, _, after = address.rpartition("@")
        host, slash, path = after.partition("/")
        authority = f"{HIDDEN}@{host}"
    authority = (
        authority if re.fullmatch(r"(\*\*\*@)?(\[[\da-f:.]+\]|[\w.-]*)(:\d*)?[;,.:)]*", authority, re.I) else HIDDEN
    )
    if not _PUBLIC.fullmatch(authority):
        path = "/".join(part if _USUAL.fullmatch(part) else HIDDEN for part in path.split("/"))
    return authority + slash + path + (f"?{HIDDEN}" if hidden else "")
