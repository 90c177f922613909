"""`flashtrace-agent dashboard`: what it refuses, and how it starts and stops the server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from flashtrace_agent.cli.dashboard import TOKEN_VARIABLE, streamlit_command
from flashtrace_agent.cli.listening import check_access, check_port, is_loopback
from flashtrace_agent.errors import FlashTraceError

from .browser import free_port

MAIN = [sys.executable, "-c", "from flashtrace_agent.cli import main; main()"]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_recognised(host: str, own: bool) -> None:
    """Only addresses nobody else can reach count as this machine's own."""
    assert is_loopback(host) is own


def test_other_hosts_need_a_token() -> None:
    """Serving to the network without a token is refused, with it allowed."""
    says = {"variable": TOKEN_VARIABLE, "danger": "shows every trace to"}
    with pytest.raises(FlashTraceError, match="FLASHTRACE_AGENT_DASHBOARD_TOKEN"):
        check_access("0.0.0.0", None, **says)
    with pytest.raises(FlashTraceError, match="FLASHTRACE_AGENT_DASHBOARD_TOKEN"):
        check_access("0.0.0.0", "", **says)
    check_access("0.0.0.0", "three green lamps", **says)
    check_access("127.0.0.1", None, **says)


def test_taken_port_is_one_sentence() -> None:
    """A port in use is reported before the server starts, naming the option to change."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(FlashTraceError, match="pass another --port"):
            check_port("127.0.0.1", other.getsockname()[1])


def test_unknown_host_is_one_sentence() -> None:
    """A host that does not resolve is reported as such."""
    with pytest.raises(FlashTraceError, match="--host"):
        check_port("no-such-host.invalid", 8501)


def test_server_is_told_to_stay_private() -> None:
    """Telemetry is off, and the token is not among the words other users of the machine can see."""
    words = streamlit_command("127.0.0.1", 8501)
    options = dict(pairwise(words))
    assert options["--browser.gatherUsageStats"] == "false"
    assert options["--server.address"] == "127.0.0.1"
    assert options["--server.headless"] == "true"
    assert Path(words[4]).name == "app.py"
    assert Path(words[4]).is_file()


def test_missing_store_is_one_sentence_and_is_not_made(tmp_path: Path) -> None:
    """A mistyped path is an error with exit code 1, and no empty file appears there."""
    path = tmp_path / "typo.db"
    done = subprocess.run(
        [*MAIN, "dashboard", "--store", f"sqlite:///{path}", "--no-browser"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"There is no store at {path}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not path.exists()


def _heed_interrupts() -> None:
    # A shell starts background jobs with SIGINT ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_server_starts_and_stops_with_the_command(store_url: str, how: signal.Signals) -> None:
    """The printed address answers, and stopping the command frees the port and exits with 0."""
    port = free_port()
    command = [*MAIN, "dashboard", "--store", store_url, "--port", str(port), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts)
    with server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().startswith(f"Dashboard at http://127.0.0.1:{port}")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=120) as answer:
                assert answer.status == 200
            server.send_signal(how)
            assert server.wait(timeout=120) == 0
        finally:
            server.terminate()  # where the signal did not stop it; leaving `with` waits for its end
    check_port("127.0.0.1", port)
