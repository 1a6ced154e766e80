"""Whether the model hub answers, asked once and quickly: its own client retries for half a minute first."""

from __future__ import annotations

import urllib.error
import urllib.request

TIMEOUT = 2.0


def hub_state() -> str:
    """Whether the hub can be read: "reachable", "unreachable", "switched off …" or "unknown …"."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return "unknown (huggingface_hub is not installed)"
    if constants.HF_HUB_OFFLINE:
        return "switched off (HF_HUB_OFFLINE)"
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError as answer:
        # Whatever it says, it answered.
        answer.close()
    except OSError:
        return "unreachable"
    return "reachable"


def stop_asking() -> None:
    """Let the hub's clients in this process use their caches alone, without retrying the network."""
    from datasets import config
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    config.HF_HUB_OFFLINE = True
