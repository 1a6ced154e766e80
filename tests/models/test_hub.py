"""Asking the hub."""

from __future__ import annotations

import pytest

from rlpath.models import hub


def test_the_hub_is_asked_once_and_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any answer counts as reachable, none as unreachable, and HF_HUB_OFFLINE asks nothing."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def refuse(request: object, timeout: float) -> None:
        assert timeout == 2.0
        raise hub.urllib.error.HTTPError("address", 403, "forbidden", {}, None)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(hub.urllib.request, "urlopen", refuse)
    assert hub.hub_state() == "reachable"

    def fail(request: object, timeout: float) -> None:
        raise TimeoutError

    monkeypatch.setattr(hub.urllib.request, "urlopen", fail)
    assert hub.hub_state() == "unreachable"

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.hub_state() == "switched off (HF_HUB_OFFLINE)"
