"""Personal data in text: e-mail addresses, telephone numbers and secret keys; and texts with these masked.

Numbers are those that `phonenumbers` finds valid, written with a country code or in the North American way; free and
shared-cost lines belong to firms, and the exchange 555 to films. Keys have the formats that their services publish:
`detect-secrets` knows more of them, but reads a text in quadratic time, and its word rules are meant for source code.
Addresses at domains that are kept for examples (RFC 2606), and those of offices (info@, support@), are nobody's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from anatomy.text.hints import Hints
from anatomy.text.markdown_spans import Range

HIDDEN = "***"
_EMAIL = re.compile(r"(?<![\w.+@-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}\b(?!@)")
_NOBODY = re.compile(  # domains that are kept for examples, or stand for one
    r".*@(?:[\w-]+\.)*(?:example|test|invalid|localhost|local|e?mail(?:provider)?|(?:your|my|some|the|any|company|school)?-?"
    r"(?:domain|company|website|business|organi[sz]ation|site|school|university|name|host|server)(?:name)?)(?:\.\w+){0,2}"
    r"|(?:(?:your|my|the|first|last|user|full|some|any)?[._-]?(?:e?mail|name|user|example|test|address|recipient|sender"
    r"|someone|you|lastname|surname)\d*|(?:john|jane)[._-]?(?:doe|smith)\d*|foo|bar|abc|xyz"
    r"|git|info|support|contact|no-?reply|help|sales|admin|webmaster|hello|office|press|service|customer[._-]?\w+)@.*",
    re.IGNORECASE,
)
_PHONE = re.compile(
    r"(?<![\w.@/+=-])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})"
    r"(?![\w/=]|[.,-]\d)"
)
_KEY = re.compile(
    r"(?<![\w/+-])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22}_\w{59}|glpat-[\w-]{20}"
    r"|sk-(?:proj-|ant-[a-z0-9]+-)?[\w-]{20,200}(?<![-_])"  # OpenAI, Anthropic
    r"|xox[abprs]-[\w-]{10,200}"  # Slack
    r"|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,200}"  # Stripe
    r"|AIza[\w-]{35}|hf_[A-Za-z0-9]{34}|npm_[A-Za-z0-9]{36}|SG\.[\w-]{22}\.[\w-]{43}"
    r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,2000}"  # JSON web token
    r")(?![\w/+])"
    r"|-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----"
)
_FICTIONAL = "555"
_LIKE_A_PHONE = re.compile(r"[\d+](?:\d\d[ .-]\d{4}|(?<=\+)\d)")
"""What each telephone number holds; the first character is looked for alone, which is fast."""
_KEY_HINTS = Hints(
    "AKIA ASIA ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- sk- xox sk_live_ sk_test_ rk_live_ rk_test_ AIza hf_ npm_ "
    "SG. eyJ -----BEGIN".split()
)


def email_ranges(text: str) -> list[Range]:
    """Return where an e-mail address stands that may be somebody's."""
    if "@" not in text:
        return []
    return [match.span() for match in _EMAIL.finditer(text) if not _NOBODY.fullmatch(match.group())]


def phone_ranges(text: str) -> list[Range]:
    """Return where a telephone number stands that may be a person's."""
    if _LIKE_A_PHONE.search(text) is None:
        return []
    return [match.span() for match in _PHONE.finditer(text) if _is_personal(match.group())]


def key_ranges(text: str) -> list[Range]:
    """Return where a key to a service, or a private key, begins."""
    if not _KEY_HINTS.are_in(text):
        return []
    return [match.span() for match in _KEY.finditer(text) if _looks_drawn(match.group())]


PERSONAL = {"e-mail": email_ranges, "phone number": phone_ranges, "secret key": key_ranges}
"""Kind of personal data → its ranges in a text."""


def masked(text: str, start: int = 0, stop: int | None = None) -> str:
    """``text[start:stop]`` with personal data hidden but for its first two characters, also where it is cut."""
    stop = len(text) if stop is None else min(stop, len(text))
    parts, done = [], start
    for first, last in sorted(place for ranges in PERSONAL.values() for place in ranges(text)):
        if done < last and first < stop:
            parts += [text[done : max(done, first) + 2 * (first >= done)], HIDDEN]
            done = last
    return "".join([*parts, text[done:stop]])


@lru_cache(4096)
def _is_personal(number: str) -> bool:
    import phonenumbers
    from phonenumbers import PhoneNumberType as Kind

    try:
        parsed = phonenumbers.parse(number, None if number.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    if parsed.country_code == 1 and str(parsed.national_number)[3:6] == _FICTIONAL:
        return False
    kind = phonenumbers.number_type(parsed)
    return kind in (Kind.FIXED_LINE, Kind.MOBILE, Kind.FIXED_LINE_OR_MOBILE, Kind.PERSONAL_NUMBER, Kind.VOIP)


def _looks_drawn(key: str) -> bool:
    """Whether a key was drawn at random: ``sk-xxxxxxxx…`` and ``sk-your-key-here`` stand for one."""
    if key.startswith("-----"):
        return True
    body = key.split("_")[-1] if "_" in key else key
    return (
        len(set(body.lower())) >= 8 and any(character.isdigit() for character in key[3:]) and "your" not in key.lower()
    )
