"""`flashtrace-agent collect`: receive spans over OTLP/HTTP and write the runs they make up."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashtrace_agent.count_of import count_of
from flashtrace_agent.errors import FlashTraceError

from .listening import check_access, check_port
from .options import StoreOption, open_store

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from flashtrace_agent.integrations.opentelemetry.sink import SpanSink

TOKEN_VARIABLE = "FLASHTRACE_AGENT_COLLECT_TOKEN"  # noqa: S105 - the variable's name, not a token

_STOP_SECONDS = 10


def collect(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 4318,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            help="Token senders must give. The environment variable keeps it out of the process list.",
            show_default=False,
        ),
    ] = None,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            "--redact",
            metavar="REGEX",
            help="What matches is taken out of every span before it is kept; may be repeated.",
            show_default=False,
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Read OTLP/JSON files (of `export --format otlp` or a collector) instead of listening.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Receive OpenTelemetry spans over HTTP and store agents' runs.

    Senders post them to /v1/traces, as protobuf or JSON.
    """
    if not files:
        check_access(host, token, variable=TOKEN_VARIABLE, danger="accepts spans into the store from")
        check_port(host, port)
    from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
    from flashtrace_agent.redaction import Redaction

    try:
        redaction = Redaction(redact) if redact else None
    except re.error as error:
        raise FlashTraceError(f"A --redact pattern is no regular expression: {error}.") from error
    with open_store(store) as opened:
        sink = SpanSink(opened, redaction=redaction)
        try:
            sink.settle(quiet=0)  # what a receiver before this one had accepted
            if files:
                _read_files(sink, files)
            else:
                _listen(sink, host, port, token)
        finally:
            sink.close()


def _read_files(sink: SpanSink, files: list[Path]) -> None:
    from flashtrace_agent.integrations.opentelemetry.otlp_file import read_otlp

    for path in files:
        typer.echo(f"Read {count_of(read_otlp(sink, path), 'span')} from {path}")


def _listen(sink: SpanSink, host: str, port: int, token: str | None) -> None:
    from flashtrace_agent.integrations.opentelemetry.receiver import Receiver

    receiver = Receiver(sink, token=token or None)
    try:
        serve(receiver.app, host, port)
    finally:
        receiver.close()


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until the process is told to stop; requests under way are answered first."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup()
            for server in self.servers if self.started else ():
                address = server.sockets[0].getsockname()
                shown = f"[{address[0]}]" if ":" in address[0] else address[0]
                typer.echo(f"Receiving spans at http://{shown}:{address[1]}/v1/traces (stop with Ctrl+C)")

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    # The server raises the signal that stopped it again once it is done; that must not end the
    # process before what waits is written.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        Server(config).run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
