"""The command line starts quickly and reports errors as one sentence."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import flashtrace_agent
from flashtrace_agent.cli import app
from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Trace

from .conftest import Run

HEAVY = ("torch", "transformers", "streamlit", "sqlalchemy", "alembic", "langchain_core", "numpy")

PRINT_HEAVY = f"""
import sys
sys.argv = ["flashtrace-agent", "--help"]
from flashtrace_agent.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def test_help_is_quick() -> None:
    """Half a second on a machine on which Python and Typer alone take 0.08 s; slower ones get their share."""
    whole = _processor_seconds("from flashtrace_agent.cli import main; main()")
    assert whole < 6 * _processor_seconds("import typer")


def _processor_seconds(code: str) -> float:
    """Return the processor time of a program, the least of five runs: what runs beside it does not count."""
    seconds: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_help_loads_nothing_heavy() -> None:
    """Neither the model's libraries nor the database's nor the dashboard's."""
    done = subprocess.run([sys.executable, "-c", PRINT_HEAVY], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert "list" in done.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Public names load when they are used."""
    code = f"import sys, flashtrace_agent; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_version(run: Run) -> None:
    """The version is the package's."""
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"flashtrace-agent {flashtrace_agent.__version__}\n")


def test_without_a_command_there_is_help(run: Run) -> None:
    """And the exit code of wrong usage."""
    result = run()
    assert result.exit_code == 2
    assert "Usage:" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "--status", "maybe"],
        ["list", "--limit", "0"],
        ["search"],
        ["--nonsense"],
        ["attribute", "01", "--dtype", "int8"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    """Whatever was wrong, it is told apart from a failure."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


def test_an_error_is_one_sentence_and_exit_code_1(run: Run) -> None:
    """On standard error, without a traceback."""
    result = run("show", "nothing")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: No trace has an id that begins with 'nothing'")
    assert result.stderr.count("\n") == 1


def test_the_hub_client_is_quiet() -> None:
    """It would tell of each retry before the one sentence that says what is wrong."""
    code = "from flashtrace_agent.cli.frame import start; start(); from huggingface_hub.utils import logging"
    command = [sys.executable, "-c", f"{code}; print(logging.get_verbosity())"]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_VERBOSITY"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert int(done.stdout) == logging.ERROR


def test_a_pipe_that_lacks_a_character_gets_a_question_mark(store_url: str, trace: Trace) -> None:
    """Not a traceback: on Windows and in bare containers, pipes do not carry every arrow."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "FLASHTRACE_AGENT_STORE": store_url}
    command = [sys.executable, "-m", "flashtrace_agent", "show", trace.id]
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    assert b"why tool_name `sofas` ? user" in done.stdout


def test_a_pipe_gets_no_progress_bar(run: Run, trace: Trace) -> None:
    """On neither stream."""
    result = run("delete", trace.id, "--yes")
    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == trace.id


def test_debug_lets_the_error_through(run: Run) -> None:
    """So that Python prints the traceback."""
    result = run("--debug", "show", "nothing")
    assert isinstance(result.error, StoreError)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://x", "Error: A store cannot be a 'ftp' URL"),
        ("sqlite:////dev/null/x.db", "Error: There is no store at /dev/null/x.db: check the path"),
    ],
)
def test_the_store_option_goes_before_the_environment(run: Run, url: str, sentence: str) -> None:
    """And a store that cannot be opened is an error like any other."""
    result = run("list", "--store", url)
    assert result.exit_code == 1
    assert result.stderr.startswith(sentence)


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below a group with the words that name it."""
    for name, command in group.commands.items():
        yield (*words, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_option_has_help(words: tuple[str, ...]) -> None:
    """Nothing is left for the reader to guess."""
    assert COMMANDS[words].help
    assert [option.name for option in COMMANDS[words].params if not option.help] == []


@pytest.mark.parametrize("group", [(), ("db",), ("models",)])
def test_the_list_of_commands_fits_a_terminal(group: tuple[str, ...]) -> None:
    """Of 80 columns, without a sentence that breaks off."""
    listed = (
        CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "80"}).stdout.partition("Commands:")[2]
    )
    assert len(listed.splitlines()) > 3
    assert "..." not in listed
