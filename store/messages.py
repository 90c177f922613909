"""Conversations as chains of messages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message

from .chains import follow, read_links
from .schema import MessageRow
from .shared_rows import SharedRows


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """Where a step's input and output are stored; None where there is none."""

    input_digest: str | None
    output_digest: str | None


def write_conversation(
    shared: SharedRows, trace_id: str, messages: Sequence[Message], output: Message | None
) -> StoredConversation:
    """Ask for the input of a step of a trace and, as its next link, its output.

    Raises:
        StoreError: if a message holds something JSON cannot.
    """
    history = [*messages] if output is None else [*messages, output]
    try:
        identities = _identities(history, shared.identities)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"A message cannot be stored as JSON ({error}): give plain values.") from error
    digests = _storage_digests(history, identities)
    shared.need_chain(
        MessageRow,
        digests,
        lambda index: {"identity": identities[index], "body": history[index].to_dict()},
    )
    shared.need_trace_of(digests, trace_id)
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


def _identities(messages: Sequence[Message], known: dict[tuple[int, str], str]) -> list[str]:
    # A message object that several steps of a batch share is hashed once: hashing every history
    # from its start was 40 % of a batch's time.
    identities: list[str] = []
    parent = ""
    for message in messages:
        key = (id(message), parent)
        parent = known[key] if key in known else known.setdefault(key, message.digest(parent))
        identities.append(parent)
    return identities


def storage_digest(message: Message, identity: str, parent: str | None, parent_identity: str | None) -> str:
    """Return the address of a message, given the message before it.

    A speaker's name is no part of a message's identity, but must be read back. So from the first
    named message of a conversation on, the address covers the names too; before it, it is the
    identity.
    """
    if message.name is None and parent == parent_identity:
        return identity
    content = "\0".join((parent or "", identity, repr(message.name)))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _storage_digests(messages: Sequence[Message], identities: Sequence[str]) -> list[str]:
    digests: list[str] = []
    parent: str | None = None
    before: str | None = None
    for message, identity in zip(messages, identities, strict=True):
        parent = storage_digest(message, identity, parent, before)
        before = identity
        digests.append(parent)
    return digests
