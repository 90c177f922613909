"""`flashtrace-agent dashboard`: serve the Streamlit app on this machine.

Streamlit runs in a process of its own, told everything by flags and environment, so that a
configuration file lying around cannot switch its telemetry on or bind it elsewhere.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from flashtrace_agent.errors import FlashTraceError

from .listening import check_access, check_port
from .options import StoreOption, open_existing_store

TOKEN_VARIABLE = "FLASHTRACE_AGENT_DASHBOARD_TOKEN"  # noqa: S105 - the variable's name, not a token
STORE_VARIABLE = "FLASHTRACE_AGENT_STORE"

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to serve on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            help="Token visitors must give. The environment variable keeps it out of the process list.",
            show_default=False,
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    store: StoreOption = None,
) -> None:
    """Look at traces, and at what caused them, in the browser."""
    with open_existing_store(store) as opened:
        url = opened.url
    check_access(host, token, variable=TOKEN_VARIABLE, danger="shows every trace to")
    check_port(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    environment = {**os.environ, STORE_VARIABLE: url}
    environment.pop(TOKEN_VARIABLE, None)
    if token:
        environment[TOKEN_VARIABLE] = token
    raise typer.Exit(serve(streamlit_command(host, port), environment, host, port, address, not no_browser))


def streamlit_command(host: str, port: int) -> list[str]:
    """Return the command line of the server process."""
    package = find_spec("flashtrace_agent.dashboard")
    if package is None or not package.submodule_search_locations:
        raise FlashTraceError("The dashboard is missing from this installation: reinstall flashtrace-agent.")
    app = Path(next(iter(package.submodule_search_locations))) / "app.py"
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "global.developmentMode": "false",
        # Pages are served under this name; without it Streamlit asks the internet for this machine's address.
        "browser.serverAddress": host,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "logger.hideWelcomeMessage": "true",
        "theme.light.primaryColor": "#b93e0b",
        "theme.light.textColor": "#111318",
        "theme.dark.primaryColor": "#ea580c",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(app), *flags]


def serve(
    command: list[str], environment: dict[str, str], host: str, port: int, address: str, browse: bool
) -> int:
    """Run the server until it ends or is interrupted; return the exit code for the shell."""
    # Its own session: an interrupt from the keyboard reaches this process alone, which then
    # stops the server in order.
    server = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603 - our own words

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        if not _wait_until_it_answers(server, host, port):
            return 1
        typer.echo(f"Dashboard at {address} (stop with Ctrl+C)")
        if browse:
            webbrowser.open(address)
        return 1 if server.wait() else 0
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], host: str, port: int) -> bool:
    reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - translated, not bound
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            typer.echo("The dashboard's server ended before it was ready; its message is above.", err=True)
            return False
        try:
            socket.create_connection((reach, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    typer.echo(f"The dashboard's server did not answer within {_START_SECONDS:.0f} seconds.", err=True)
    return False
