"""`flashtrace-agent collect` as a real process: what it takes, what it refuses, what survives it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel_collector import JSON, PROTOBUF, Collector, otlp
from otel_recordings import all_traces
from otel_spans import chat, said
from test_otel_exporter import run_agent
from typer.testing import CliRunner

from flashtrace_agent.cli import app
from flashtrace_agent.cli.collect import TOKEN_VARIABLE
from flashtrace_agent.store import Store

CHAT = chat([said("user", "Hi")], said("assistant", "Ho"))


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Return a running collector that the tests of this file share."""
    with Collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


def count(collector: Collector) -> int:
    with Store(collector.store) as store:
        return len(store.list_traces(limit=1000))


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_takes_what_the_real_exporter_sends(collector: Collector, compression: Compression) -> None:
    """The SDK's own OTLP/HTTP exporter, plain and gzipped: the run is there once it has flushed."""
    before = count(collector)
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=collector.url, compression=compression))
    )
    run_agent(provider)
    assert provider.force_flush()
    provider.shutdown()
    with Store(collector.store) as store:
        traces = all_traces(store)
    assert len(traces) == before + 1
    assert [step.kind for step in traces[-1].steps] == ["model", "tool", "model"]


@pytest.mark.parametrize("content_type", [JSON, f"{JSON}; charset=utf-8", "Application/JSON;charset=UTF-8"])
@pytest.mark.parametrize("zipped", [False, True])
def test_takes_json_and_answers_in_json(collector: Collector, content_type: str, zipped: bool) -> None:
    """Parameters of the type are ignored, gzip is undone, the answer is JSON."""
    body = otlp({"attributes": CHAT})
    headers = {"Content_Encoding": "gzip"} if zipped else {}
    answer = collector.post(gzip.compress(body) if zipped else body, content_type, **headers)
    assert (answer.status, answer.json) == (200, {})
    assert answer.headers["content-type"] == JSON


def test_rejected_spans_are_counted_in_the_answer(collector: Collector) -> None:
    """Spans without ids are reported as a partial success; the others are kept."""
    before = count(collector)
    answer = collector.post(
        otlp(
            {"attributes": CHAT, "traceId": "ab" * 16}, {"traceId": ""}, {"spanId": "0" * 16}, {"spanId": 7}
        ),
        JSON,
    )
    assert answer.status == 200
    partial = answer.json["partialSuccess"]
    assert partial["rejectedSpans"] == "3"
    assert "id" in partial["errorMessage"]
    assert count(collector) == before + 1


def test_answers_protobuf_in_protobuf(collector: Collector) -> None:
    """A request without spans is fine, and its answer an empty message of the right type."""
    answer = collector.post(b"")
    assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ExportTraceServiceResponse.FromString(answer.body) == ExportTraceServiceResponse()


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "says"),
    [
        (b"x", "text/plain", {}, 415, "application/x-protobuf"),
        (b"x", "", {}, 415, "application/json"),
        (b"x", JSON, {"Content_Encoding": "br"}, 415, "gzip"),
        (b"{", JSON, {}, 400, "JSON"),
        (b"[]", JSON, {}, 400, "resourceSpans"),
        (b"[" * 200_000, JSON, {}, 400, "nested"),
        (b"\xff\xfe\xfd", JSON, {}, 400, "JSON"),
        (b"\xff\xff\xff", PROTOBUF, {}, 400, "protobuf"),
        (b"plain", PROTOBUF, {"Content_Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b"{}" * 999, mtime=0)[:-9], JSON, {"Content_Encoding": "gzip"}, 400, "gzip"),
    ],
)
def test_refuses_in_one_sentence(
    collector: Collector, body: bytes, content_type: str, headers: dict[str, str], status: int, says: str
) -> None:
    """The answer's text says what to do, in the request's encoding, and the collector goes on."""
    answer = collector.post(body, content_type, **headers)
    assert answer.status == status
    assert says in answer.body.decode("utf-8", "replace")
    assert collector.post(otlp(), JSON).status == 200


def test_gzip_bomb_is_refused_unopened(collector: Collector) -> None:
    """A body that would grow beyond the cap is given up at the cap, without the memory for it."""
    bomb = gzip.compress(b"\0" * (1 << 20)) * 300  # 300 MiB in 300 kB
    before = _memory(collector)
    answer = collector.post(bomb, PROTOBUF, Content_Encoding="gzip")
    assert answer.status == 413
    assert b"64 MiB" in answer.body
    assert _memory(collector) - before < 200_000


def test_only_the_one_path_and_method(collector: Collector) -> None:
    """Anything else is not found or not allowed."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    with pytest.raises(HTTPError, match="405"):
        urlopen(collector.url)
    with pytest.raises(HTTPError, match="404"):
        urlopen(collector.url.replace("traces", "metrics"))


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Runs in progress and finished ones are all there after kill -9 and a restart."""
    with Collector(tmp_path) as first:
        for number in range(1, 21):
            spans = {"attributes": CHAT, "traceId": f"{number:032x}"}
            if number % 2:  # its root has not ended yet
                spans["parentSpanId"] = "ab" * 8
            assert first.post(otlp(spans), JSON).status == 200
        first.kill()
    with Collector(tmp_path) as second:
        assert count(second) == 20
        root = {"traceId": f"{1:032x}", "spanId": "ab" * 8, "name": "agent"}
        root_span: dict[str, Any] = {**root, "attributes": {"gen_ai.operation.name": "invoke_agent"}}
        assert second.post(otlp(root_span), JSON).status == 200
        assert second.stop() == 0
    with Store(f"sqlite:///{tmp_path}/traces.db") as store:
        traces = all_traces(store)
    assert sorted(trace.status for trace in traces) == ["incomplete"] * 9 + ["ok"] * 11
    assert sum(len(trace.steps) for trace in traces) == 20


def test_stopping_writes_what_waits(tmp_path: Path) -> None:
    """SIGTERM ends it with 0, and a run without its root is written as it is."""
    with Collector(tmp_path) as running:
        running.post(otlp({"attributes": CHAT, "parentSpanId": "ab" * 8}), JSON)
        assert running.stop() == 0
    with Store(f"sqlite:///{tmp_path}/traces.db") as store:
        (trace,) = all_traces(store)
        assert trace.status == "incomplete"


def test_other_addresses_need_a_token(tmp_path: Path) -> None:
    """Without one it does not start, and says what to set."""
    store = f"sqlite:///{tmp_path}/traces.db"
    result = CliRunner().invoke(app, ["collect", "--host", "0.0.0.0", "--port", "0", "--store", store])
    assert result.exit_code == 1
    assert TOKEN_VARIABLE in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_token_is_asked_for(tmp_path: Path) -> None:
    """With a token, senders must give it, on every address."""
    secret = {TOKEN_VARIABLE: "s3cret"}
    with Collector(tmp_path, ("--host", "0.0.0.0"), secret) as running:
        running.url = running.url.replace("0.0.0.0", "127.0.0.1")
        body = otlp({"attributes": CHAT})
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "s3cret"}):
            answer = running.post(body, JSON, **headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "token" in json.loads(answer.body)["message"]
        assert running.post(body, JSON, Authorization="Bearer s3cret").status == 200
        exporter = OTLPSpanExporter(endpoint=running.url, headers={"Authorization": "Bearer s3cret"})
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        run_agent(provider)
        assert provider.force_flush()
        assert count(running) == 2
        provider.shutdown()


def test_port_in_use_is_one_sentence(collector: Collector) -> None:
    """A second collector on the port says so."""
    port = collector.url.split(":")[2].split("/")[0]
    result = CliRunner().invoke(app, ["collect", "--port", port, "--store", collector.store])
    assert result.exit_code == 1
    assert port in result.stderr


def test_protobuf_refusals_carry_the_sentence() -> None:
    """The hand-made Status message is what a protobuf parser reads: field 2, a string."""
    from flashtrace_agent.integrations.opentelemetry.body import refused

    sentence = "Send smaller batches. " * 20
    status = pytest.importorskip("google.rpc.status_pb2", reason="needs googleapis-common-protos")
    assert status.Status.FromString(refused("protobuf", sentence)).message == sentence


def _memory(collector: Collector) -> int:
    """Return the process's peak memory in kB."""
    status = Path(f"/proc/{collector.process.pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    return int(status.read_text().split("VmHWM:")[1].split()[0])
