"""Write a share for people."""

from __future__ import annotations


def percent(share: float, digits: int | None = None) -> str:
    """Return a share as ``41 %``: small ones with a decimal, or all with as many as `digits` says."""
    if digits is None:
        digits = 0 if share >= 0.0995 else 1
    return f"{share * 100:.{digits}f} %"
