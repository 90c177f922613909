"""Counting values before they are decoded: exact, and never in the way of an honest request."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from flashtrace_agent.integrations.opentelemetry.bounds import check_json, check_protobuf
from flashtrace_agent.integrations.opentelemetry.otlp import BadRequestError

TEXTS = st.text(max_size=6)


@st.composite
def requests(draw: st.DrawFn) -> Any:
    """Draw an OTLP request with attributes of every type, nested."""
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        span = request.resource_spans.add().scope_spans.add().spans.add()
        span.name = draw(TEXTS)
        span.trace_id = draw(st.binary(max_size=16))
        span.start_time_unix_nano = draw(st.integers(0, 2**64 - 1))
        span.flags = draw(st.integers(0, 2**32 - 1))
        for _ in range(draw(st.integers(0, 3))):
            pair = span.attributes.add(key=draw(TEXTS))
            kind = draw(st.integers(0, 4))
            if kind == 0:
                pair.value.string_value = draw(TEXTS)
            elif kind == 1:
                pair.value.double_value = draw(st.floats(allow_nan=False))
            elif kind == 2:
                pair.value.int_value = draw(st.integers(-(2**63), 2**63 - 1))
            elif kind == 3:
                pair.value.array_value.values.add().kvlist_value.values.add(key=draw(TEXTS))
        span.events.add(name=draw(TEXTS)).attributes.add(key="x")
    return request


def fields_in(message: Any) -> int:
    """Return the slow, obvious count: every field that is set, and those inside."""
    total = 0
    for descriptor, value in message.ListFields():
        each = [value] if not hasattr(value, "add") else value
        for item in each:
            total += 1 + (fields_in(item) if descriptor.message_type is not None else 0)
    return total


@given(request=requests())
@settings(deadline=None)
def test_protobuf_is_refused_beyond_the_limit_and_not_before(request: Any) -> None:
    """Counted on the wire as on the decoded message."""
    body, fields = request.SerializeToString(), fields_in(request)
    check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR, limit=fields)
    if fields > 1 and len(body) > 2 * (fields - 1):
        with pytest.raises(BadRequestError, match="smaller batches"):
            check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR, limit=fields - 1)


@given(body=st.binary(max_size=60))
def test_whatever_the_parser_takes_was_counted(body: bytes) -> None:
    """No body gets past the count that the parser then makes more values of."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except Exception:  # noqa: BLE001 - what the parser refuses need not be counted
        return
    with contextlib.suppress(BadRequestError):  # a group is refused here and skipped by the parser
        check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR, limit=len(body))
        limit = fields_in(request) - 1
        if limit >= 0 and len(body) > 2 * limit:
            with pytest.raises(BadRequestError):
                check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR, limit=limit)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab,[{"\\', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a,{"', max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


def values_in(value: Any) -> int:
    """Return how many objects Python makes of it, keys included."""
    if isinstance(value, dict):
        return 1 + sum(1 + values_in(item) for item in value.values())
    return 1 + sum(map(values_in, value)) if isinstance(value, list) else 1


@given(value=json_values)
def test_json_is_bounded_by_what_it_becomes(value: Any) -> None:
    """Refused where it becomes many more values than the limit, never where it becomes fewer than half."""
    body, values = json.dumps(value).encode(), values_in(value)
    check_json(body, limit=2 * values)
    with pytest.raises(BadRequestError, match="smaller batches"):
        check_json(b'{"a":' * values + b"[" + body, limit=values // 2)


def test_punctuation_inside_texts_does_not_count() -> None:
    """Messages are JSON within JSON, full of it."""
    text = json.dumps({"messages": [{"role": "user", "content": 'a "quoted" \\ [text], {and more}'}] * 20})
    body = json.dumps({"resourceSpans": [text] * 20}).encode()
    check_json(body, limit=50)
    with pytest.raises(BadRequestError):
        check_json(body, limit=10)
