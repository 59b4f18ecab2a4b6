"""What the whole suite needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def pytest_configure() -> None:
    """Sets hypothesis up: no deadlines, and a way around speechbrain's lazy modules.

    On a busy machine any example may take a while. Hypothesis asks every loaded module for its
    `__file__`; speechbrain's lazy modules answer by importing what they stand for, such as k2, and
    raise where that is not installed.
    """
    try:
        from hypothesis import settings
        from hypothesis.internal.conjecture import providers
    except ImportError:
        return
    settings.register_profile("no-deadline", deadline=None)
    settings.load_profile("no-deadline")
    collect: Callable[[], Any] | None = getattr(providers, "_get_local_constants", None)
    if collect is None:
        return

    def collect_beside_lazy_modules() -> Any:
        lazy = getattr(sys.modules.get("speechbrain.utils.importutils"), "LazyModule", None)
        if lazy is not None:
            lazy.__file__ = None
        return collect()

    providers._get_local_constants = collect_beside_lazy_modules
