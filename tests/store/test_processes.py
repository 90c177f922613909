"""Several processes and threads write at once; a killed one loses nothing acknowledged."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flashtrace_agent.message import Message
from flashtrace_agent.store import Store

from .examples import make_model_step, make_trace

REPOSITORY = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from tests.store.examples import make_model_step, make_trace

url, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(url)
trace = make_trace(key)
store.write_trace(trace)
messages = [Message("user", key)]
for number in range(count):
    messages.append(Message("user", f"{key} {number}"))
    step = make_model_step(trace, number, input=list(messages), prompt_ids=list(range(number * 40)))
    store.write_step(step)
    print(step.id, flush=True)
"""


def start_writer(url: str, key: str, count: int) -> subprocess.Popen[str]:
    """Start a process that writes steps and prints the id of each once it is stored."""
    command = [sys.executable, "-c", WRITER, url, key, str(count)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_eight_processes_write_to_one_new_store(store_url: str) -> None:
    """They also create it together; nothing is lost, no one meets a locked database."""
    writers = [start_writer(store_url, f"writer {number}", 15) for number in range(8)]
    acknowledged: list[str] = []
    for writer in writers:
        output, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
        acknowledged += output.split()
    with Store(store_url) as store:
        summaries = store.list_traces()
        assert [summary.steps for summary in summaries] == [15] * 8
        stored = {step.id for summary in summaries for step in store.get_trace(summary.id).steps}
    assert len(acknowledged) == 120
    assert stored == set(acknowledged)


def test_a_killed_writer_loses_nothing_it_was_told_is_stored(store_url: str) -> None:
    """Killed at five different moments; the store opens each time and is sound."""
    Store(store_url).close()
    for round_number in range(5):
        writer = start_writer(store_url, f"round {round_number}", 10_000)
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(1 + 7 * round_number)]
        writer.kill()
        # Not `communicate`, which would lose what `readline` has read ahead.
        told += writer.stdout.read().split("\n")[:-1]
        writer.wait()
        with Store(store_url) as store:
            trace = next(s for s in store.list_traces() if s.id == make_trace(f"round {round_number}").id)
            steps = store.get_trace(trace.id).steps
            # One more may be stored than was told: the kill came before it could say so.
            assert [step.id for step in steps][: len(told)] == [line for line in told if line]
            assert len(steps) <= len(told) + 1
            assert store.check() == []


def test_threads_share_a_store(store: Store) -> None:
    """Writers and readers in one process need no lock of their own."""
    traces = [make_trace(f"thread {number}", milliseconds=number) for number in range(6)]

    def work(number: int) -> int:
        trace = traces[number]
        store.write_trace(trace)
        for index in range(15):
            message = Message("user", f"{number} {index}")
            store.write_step(make_model_step(trace, index, input=[message]))
            store.list_traces()
        return len(store.get_trace(trace.id).steps)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [15] * 6
