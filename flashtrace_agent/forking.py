"""Objects with locks, threads or connections in a process that forks, as many web servers do.

A child has only the thread that forked. Locks that other threads held stay held for ever, queues
have nobody to work them off (and the parent does), connections are shared with the parent. So
whatever has any of these says here how it begins anew in a child.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What can be told about a fork. The three are called on the thread that forks."""

    def before_fork(self) -> None:
        """Come to a point at which the process may be copied; not for long."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Begin anew: new locks, no threads, nothing of the parent's work."""


_known: weakref.WeakSet[Forkable] = weakref.WeakSet()


def survive(one: Forkable) -> None:
    """Tell an object, which is not kept alive by this, about every fork from now on."""
    _known.add(one)


def _before() -> None:
    for one in list(_known):
        one.before_fork()


def _in_parent() -> None:
    for one in list(_known):
        one.after_fork_in_parent()


def _in_child() -> None:
    for one in list(_known):
        one.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
