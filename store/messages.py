"""Conversations as chains of messages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message, history_digests

from .chains import append_links, follow, read_links
from .full_text import index_messages
from .schema import MessageRow


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """Where a step's input and output are stored; None where there is none."""

    input_digest: str | None
    output_digest: str | None


def write_conversation(
    connection: Connection, messages: Sequence[Message], output: Message | None
) -> StoredConversation:
    """Store a step's input and, as its next link, its output.

    Raises:
        StoreError: if a message holds something JSON cannot.
    """
    history = [*messages] if output is None else [*messages, output]
    try:
        identities = history_digests(history)
    except (TypeError, ValueError) as error:
        raise StoreError(f"A message cannot be stored as JSON ({error}): give plain values.") from error
    digests = _storage_digests(history, identities)
    bodies: dict[str, dict[str, Any]] = {}

    def columns(index: int) -> dict[str, Any]:
        body = bodies[digests[index]] = history[index].to_dict()
        return {"identity": identities[index], "body": body}

    append_links(connection, MessageRow, digests, columns)
    index_messages(connection, bodies)
    return StoredConversation(
        input_digest=digests[len(messages) - 1] if messages else None,
        output_digest=None if output is None else digests[-1],
    )


class Conversations:
    """Messages of several steps, each link read once and shared between their histories."""

    def __init__(self, session: Session, heads: Sequence[str | None]) -> None:
        self._links = read_links(session, MessageRow, heads)
        self._messages = {digest: Message.from_dict(link.body) for digest, link in self._links.items()}

    def up_to(self, head: str | None) -> list[Message]:
        """Return the conversation that ends in `head`, oldest first."""
        return [self._messages[link.digest] for link in follow(self._links, head)]

    def at(self, digest: str | None) -> Message | None:
        """Return the one message under `digest`."""
        return None if digest is None else self._messages[digest]


def _storage_digests(messages: Sequence[Message], identities: Sequence[str]) -> list[str]:
    # A speaker's name is no part of a message's identity, but must be read back. So from the
    # first named message on, the address covers the names too; before it, it is the identity.
    digests: list[str] = []
    named = False
    for message, identity in zip(messages, identities, strict=True):
        named = named or message.name is not None
        if not named:
            digests.append(identity)
            continue
        parent = digests[-1] if digests else ""
        content = "\0".join((parent, identity, repr(message.name)))
        digests.append(hashlib.blake2b(content.encode(), digest_size=16).hexdigest())
    return digests
