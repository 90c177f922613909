"""The OTLP/HTTP receiver: ``POST /v1/traces`` for spans, ``POST /v1/logs`` for events of spans.

1. Refuse who may not send, what is not OTLP, and what is too large, before any of it is kept.
2. Put the request in line for the one thread that writes; where the line is full, answer 503 with
   Retry-After, which exporters obey.
3. Answer 200 only once they are on disk.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from flashtrace_agent.errors import StoreError

from .body import (
    MAX_BODY,
    Encoding,
    RefusedError,
    check_compression,
    content_type,
    decompressed,
    encoding_of,
    refused,
    too_large,
)
from .complaints import COMPLAINTS
from .otlp import BadRequestError
from .otlp_json import read_json, write_json_answer
from .otlp_logs import read_json_logs, read_protobuf_logs, write_json_logs_answer, write_protobuf_logs_answer
from .otlp_protobuf import read_protobuf, write_protobuf_answer
from .sink import SpanSink

MAX_WAITING = 64
"""Requests in line."""

MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Bytes of the requests in line, as sent."""

RETRY_AFTER_S = 1

_Write = Callable[[bytes, Encoding], bytes]
"""Takes a decompressed body and its encoding, and returns the answer's body."""


class Receiver:
    """Takes OTLP requests for a sink.

    Args:
        sink: where spans go.
        token: what senders must give as ``Authorization: Bearer …``; None for anybody.
        max_body: bytes of a body, decompressed.
        max_waiting: requests in line before others are turned away.
    """

    def __init__(
        self,
        sink: SpanSink,
        *,
        token: str | None = None,
        max_body: int = MAX_BODY,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._sink = sink
        self._token = token
        self._max_body = max_body
        self._max_waiting = max_waiting
        self._waiting = 0
        self._bytes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="flashtrace-receiver")
        routes = [
            Route("/v1/traces", partial(self._answer, self._write_spans), methods=["POST"]),
            Route("/v1/logs", partial(self._answer, self._write_events), methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    def close(self) -> None:
        """Finish the requests in line."""
        self._writer.shutdown(wait=True)

    async def _answer(self, write: _Write, request: Request) -> Response:
        encoding: Encoding | None = None
        try:
            encoding = encoding_of(request.headers.get("content-type", ""))
            self._check_token(request)
            is_gzip = check_compression(request.headers.get("content-encoding", ""))
            self._check_line()
            return await self._take(request, encoding, is_gzip, write)
        except RefusedError as refusal:
            return _refusal(encoding, refusal)
        except BadRequestError as error:
            COMPLAINTS.note("a request is no OTLP", error)
            return _refusal(encoding, RefusedError(400, str(error)))
        except StoreError as error:
            COMPLAINTS.note("spans cannot be kept", error)
            return _refusal(encoding, RefusedError(503, str(error)))
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it

    async def _take(self, request: Request, encoding: Encoding, is_gzip: bool, write: _Write) -> Response:
        self._waiting += 1
        size = 0
        try:
            pieces: list[bytes] = []
            async for piece in request.stream():
                size += len(piece)
                self._bytes += len(piece)
                if size > self._max_body:
                    raise too_large(self._max_body)
                pieces.append(piece)
            if self._bytes > MAX_WAITING_BYTES:
                raise _full()
            loop = asyncio.get_running_loop()
            body = b"".join(pieces)
            pieces.clear()
            answer = await loop.run_in_executor(self._writer, self._write, body, encoding, is_gzip, write)
            return Response(answer, media_type=content_type(encoding))
        finally:
            self._waiting -= 1
            self._bytes -= size

    def _write(self, body: bytes, encoding: Encoding, is_gzip: bool, write: _Write) -> bytes:
        return write(decompressed(body, self._max_body) if is_gzip else body, encoding)

    def _write_spans(self, body: bytes, encoding: Encoding) -> bytes:
        batch = read_json(body) if encoding == "json" else read_protobuf(body)
        refused_spans, reason = self._sink.receive(batch.spans)
        if batch.rejected:
            COMPLAINTS.note("a span has no usable ids", batch.reason)
        answer = write_json_answer if encoding == "json" else write_protobuf_answer
        return answer(batch.rejected + refused_spans, batch.reason or reason)

    def _write_events(self, body: bytes, encoding: Encoding) -> bytes:
        batch = read_json_logs(body) if encoding == "json" else read_protobuf_logs(body)
        refused_events, reason = self._sink.receive_events(batch.events)
        if batch.rejected:
            COMPLAINTS.note("a log record about a model call names no span", batch.reason)
        answer = write_json_logs_answer if encoding == "json" else write_protobuf_logs_answer
        return answer(batch.rejected + refused_events, batch.reason or reason)

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise RefusedError(401, "Send the collector's token as the header Authorization: Bearer TOKEN.")

    def _check_line(self) -> None:
        if self._waiting >= self._max_waiting:
            raise _full()


def _full() -> RefusedError:
    COMPLAINTS.note("the collector's queue is full and senders must wait")
    return RefusedError(503, "The collector has too much to do at the moment: send the request again later.")


def _refusal(encoding: Encoding | None, refusal: RefusedError) -> Response:
    headers = {}
    if refusal.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if encoding is None:
        return Response(refusal.message, refusal.status, headers, "text/plain")
    return Response(refused(encoding, refusal.message), refusal.status, headers, content_type(encoding))
