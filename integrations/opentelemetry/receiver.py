"""The OTLP/HTTP receiver: ``POST /v1/traces`` for spans, ``POST /v1/logs`` for events of spans.

1. Refuse who may not send, what is not OTLP, and what is too large, before any of it is kept.
2. Put the request in line for the one thread that writes; where the line is full, answer 503 with
   Retry-After, which exporters obey.
3. Answer 200 only once they are on disk.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from flashtrace_agent.errors import StoreError

from .body import (
    MAX_BODY,
    Encoding,
    RefusedError,
    answered,
    check_compression,
    content_type,
    decompressed,
    encoding_of,
    refused,
    too_large,
)
from .complaints import COMPLAINTS
from .otlp import BadRequestError, Batch, RecordT
from .otlp_json import read_json
from .otlp_logs import read_json_logs, read_protobuf_logs
from .otlp_protobuf import read_protobuf
from .sink import SpanSink

MAX_WAITING = 64
"""Requests in line."""

MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Bytes of the requests in line, as sent."""

RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class _Signal(Generic[RecordT]):
    """One kind of request.

    Attributes:
        read_json, read_protobuf: read a decompressed body.
        keep: takes the records, and returns how many were refused, and why.
        answer: the message that answers.
        complaint: what is noted of records that cannot be used.
    """

    read_json: Callable[[bytes], Batch[RecordT]]
    read_protobuf: Callable[[bytes], Batch[RecordT]]
    keep: Callable[[Sequence[RecordT]], tuple[int, str]]
    answer: type[Message]
    complaint: str


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
        self._token = token
        self._max_body = max_body
        self._max_waiting = max_waiting
        self._waiting = 0
        self._bytes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="flashtrace-receiver")
        spans = _Signal(
            read_json, read_protobuf, sink.receive, ExportTraceServiceResponse, "a span has no usable ids"
        )
        events = _Signal(
            read_json_logs,
            read_protobuf_logs,
            sink.receive_events,
            ExportLogsServiceResponse,
            "a log record about a model call names no span",
        )
        signals: dict[str, _Signal[Any]] = {"/v1/traces": spans, "/v1/logs": events}
        self.app = Starlette(
            routes=[
                Route(path, partial(self._answer, signal), methods=["POST"])
                for path, signal in signals.items()
            ]
        )

    def close(self) -> None:
        """Finish the requests in line."""
        self._writer.shutdown(wait=True)

    async def _answer(self, signal: _Signal[Any], request: Request) -> Response:
        encoding: Encoding | None = None
        try:
            encoding = encoding_of(request.headers.get("content-type", ""))
            self._check_token(request)
            is_gzip = check_compression(request.headers.get("content-encoding", ""))
            self._check_line()
            return await self._take(request, encoding, is_gzip, signal)
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

    async def _take(
        self, request: Request, encoding: Encoding, is_gzip: bool, signal: _Signal[Any]
    ) -> Response:
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
            answer = await loop.run_in_executor(self._writer, self._write, body, encoding, is_gzip, signal)
            return Response(answer, media_type=content_type(encoding))
        finally:
            self._waiting -= 1
            self._bytes -= size

    def _write(self, body: bytes, encoding: Encoding, is_gzip: bool, signal: _Signal[Any]) -> bytes:
        read = signal.read_json if encoding == "json" else signal.read_protobuf
        batch = read(decompressed(body, self._max_body) if is_gzip else body)
        refused_records, reason = signal.keep(batch.records)
        if batch.rejected:
            COMPLAINTS.note(signal.complaint, batch.reason)
        return answered(encoding, signal.answer, batch.rejected + refused_records, batch.reason or reason)

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
