"""What README and docs show exists: files they link to, commands with their options, and code that runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from flashtrace_agent.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
NAME = "flashtrace-agent"


def fenced(page: Path, language: str) -> list[str]:
    """Return a page's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(page: Path) -> list[list[str]]:
    """Return the command lines of ours that a page shows, in blocks or between backticks, as words."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()
    ]
    lines += re.findall(rf"`({NAME} [^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    found = []
    for line in lines:
        match = re.search(rf"(?:^|[ /]){NAME} (.+)", line)
        if match:
            found.append(shlex.split(match[1].replace("\\", ""), comments=True))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To files of this repository; what is on the network is not asked for."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    """As the page writes them."""
    for words in commands(page):
        command: Any = get_command(app)
        rest = list(words)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        shown = " ".join(words)
        assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), shown
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        asked = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert asked <= known, shown


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("block", fenced(ROOT / "README.md", "python"), ids=["an agent", "the engine"])
def test_the_readmes_code_runs(block: str, tmp_path: Path) -> None:
    """In an empty folder, with the default model."""
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "why.html" in block:
        assert done.stdout.startswith("860\n")
        assert (tmp_path / "why.html").stat().st_size > 1000
    else:
        show = [sys.executable, "-m", "flashtrace_agent", "show", "--store", "sqlite:///traces.db"]
        shown = subprocess.run(show, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        assert "why answer" in shown
