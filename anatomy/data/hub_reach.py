"""Whether the Hugging Face Hub can be reached: asked once, in one place, before any client starts its retries."""

from __future__ import annotations

from anatomy.errors import one_line

TIMEOUT_SECONDS = 10.0
_reached: set[str] = set()
"""Addresses of Hubs that answered this process."""


def why_unreachable() -> str | None:
    """Why the Hub cannot be asked: offline mode is set, or it does not answer; None if it answers.

    Any answer will do. The request is made once and not again, and not at all once the Hub has answered.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "offline mode is set by HF_HUB_OFFLINE"
    if constants.ENDPOINT in _reached:
        return None
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_SECONDS)
    except Exception as error:  # the client lets errors of several HTTP and socket libraries through
        return one_line(error)
    _reached.add(constants.ENDPOINT)
    return None
