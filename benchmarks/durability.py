"""Kill processes that record and attribute, at random moments, and see that nothing is lost.

    python benchmarks/durability.py [--rounds 200] [--seed 0] [--write]

Each round forks a recorder, which writes steps together with their jobs and says so after each write,
and a worker, which computes jobs and says so when one is done. Then something happens to them: they
are killed (SIGKILL), the disk is full for them (a limit on the size of files), or the file is
read-only. Afterwards the store must open, `check` must find nothing, every step that was said to be
written must be there as it was, with its job, and every job that was said to be done must have its
one result. After every 20 rounds a worker works off what is left: no job may be lost, none may have
been done twice. ``--write`` puts the counts into ``benchmarks/DURABILITY.md``.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import select
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message
from flashtrace_agent.span import Span
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id, utc_now

KINDS = ("killed", "killed", "killed", "disk full", "read-only")
"""What happens in a round, by turns of chance: mostly SIGKILL."""

ROUNDS_A_STORE = 20
LEASE_S = 0.3


class Broken(AssertionError):
    """The store did not keep what it promised."""


class Tally:
    """What the processes of one store said, and how often what happened."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.done: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()

    def take(self, output: str) -> None:
        """Take in the lines of a process; one that was cut off by its end was not said."""
        for line in output.split("\n")[:-1]:
            what, _, which = line.partition(" ")
            if what == "wrote":
                self.written.append(which)
            elif what == "done":
                self.done[which] += 1
            elif what != "refused":
                raise Broken(line)
            self.happened[f"{what} told"] += 1


def make_step(trace: Trace, number: int) -> Step:
    """Return a step that its id alone determines."""
    content = [Message("user", f"message {k} of {trace.name}") for k in range(number % 7 + 1)]
    name = f"{trace.name} {number}"
    return Step(
        make_id(trace.started_at, name),
        trace.id,
        "model",
        name,
        trace.started_at,
        trace.started_at,
        status="ok",
        input=content,
        output=Message("assistant", str(number)),
        model="m",
        prompt_ids=[number % 50] * (30 * (number % 40) + 1),
        completion_ids=[1, 2],
        fidelity=Fidelity.EXACT,
    )


def make_trace(name: str) -> Trace:
    """Return a trace that its name alone determines."""
    started = utc_now().replace(2025, 1, 1, 0, 0, 0, 0)
    return Trace(make_id(started, name), name, started)


def record(url: str, name: str, say: Callable[[str], None]) -> None:
    """Write steps with their jobs, two at a time, and say which are stored."""
    with Store(url) as store:
        trace = make_trace(name)
        for number in range(0, 100_000, 2):
            steps = [make_step(trace, number), make_step(trace, number + 1)]
            store.write_together([trace], steps, explain=[step.id for step in steps])
            for step in steps:
                say(f"wrote {step.name}")


def explain(step: Step, job: Job) -> list[Attribution]:
    """Return a made-up attribution, after a moment."""
    time.sleep(0.002)
    ids = np.asarray(step.token_ids, np.int32)
    scores = np.full(len(ids), 1 / len(ids), np.float32)
    tokens = tuple(str(token) for token in ids)
    return [Attribution(ids, tokens, (Span(0, 1),), (), scores, (Hop(scores, 0.0),), "flashtrace")]


def attribute(url: str, name: str, say: Callable[[str], None], watch: bool = True) -> None:
    """Work the queue off and say which steps' jobs are done."""
    with Store(url) as store:
        for outcome in work(
            store, explain, worker=name, stop=threading.Event(), watch=watch, lease_s=LEASE_S
        ):
            if outcome.result == "done":
                say(f"done {outcome.job.step_id}")
            elif outcome.result == "dead":
                say(f"A job died: {outcome.error}")


class Child:
    """A forked process, and what it said."""

    def __init__(self, action: Callable[[Callable[[str], None]], None]) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._reading)
            try:
                action(lambda line: _write_all(writing, line + "\n"))
            except StoreError:
                _write_all(writing, "refused \n")
            finally:
                os._exit(0)
        os.close(writing)
        self.output = b""

    def wait_for_output(self, seconds: float) -> None:
        """Wait until it has said something or ended."""
        select.select([self._reading], [], [], seconds)

    def end(self, *, kill: bool, seconds: float = 30.0) -> str:
        """Kill it, or wait until it ends by itself, and return what it said."""
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise Broken("A process hung.")
            piece = os.read(self._reading, 65536)
            if not piece:
                break
            self.output += piece
        os.close(self._reading)
        os.waitpid(self.pid, 0)
        return self.output.decode()


def run_round(folder: Path, name: str, kind: str, chance: random.Random, tally: Tally) -> None:
    """Let one thing happen to a recorder and a worker."""
    path = folder / "traces.db"
    url = f"sqlite:///{path}"

    def limited(action: Callable[[str, str, Callable[[str], None]], None]) -> Child:
        size = max(path.stat().st_size if path.exists() else 0, 1 << 18)
        room = chance.randrange(1 << 12, 1 << 17)

        def act(say: Callable[[str], None]) -> None:
            if kind == "disk full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, size + room))
            elif kind == "read-only":
                _lose_rights(path)
            action(url, name, say)

        return Child(act)

    children = [limited(record), limited(attribute)]
    children[0].wait_for_output(20)
    time.sleep(chance.random() ** 2 * 0.4)
    if kind == "killed":
        chance.shuffle(children)
        for child in children:
            tally.take(child.end(kill=True))
    else:
        tally.take(children[0].end(kill=False))
        tally.take(children[1].end(kill=True))
    if kind == "read-only":
        for each in folder.iterdir():
            each.chmod(0o644)
    tally.happened[kind] += 1


def verify(folder: Path, tally: Tally) -> None:
    """Compare the store with what its processes said.

    Raises:
        Broken: naming what is wrong.
    """
    with Store(f"sqlite:///{folder}/traces.db", create=False) as store:
        problems = store.check()
        if problems:
            raise Broken("; ".join(map(str, problems[:3])))
        stored: dict[str, str] = {}
        for summary in store.list_traces(limit=1000):
            for step in store.get_trace(summary.id).steps:
                stored[step.name] = step.id
                if step != make_step(make_trace(summary.name), int(step.name.split()[-1])):
                    raise Broken(f"Step {step.name} is not as it was written.")
        if lost := set(tally.written) - set(stored):
            raise Broken(f"{len(lost)} steps were said to be written and are not there.")
        if sum(store.jobs.counts().values()) != len(stored):
            raise Broken("A step has no job, or a job no step.")
        for step_id in tally.done:
            if len(store.get_attributions(step_id)) != 1:
                raise Broken(f"Step {step_id}'s job was said to be done and has no result.")


def finish(folder: Path, tally: Tally) -> None:
    """Work off what is left, and see that each job was done once."""
    time.sleep(LEASE_S * 1.5)  # the killed workers' leases are over

    def say(line: str) -> None:
        tally.take(line + "\n")

    attribute(f"sqlite:///{folder}/traces.db", "last", say, watch=False)
    verify(folder, tally)
    with Store(f"sqlite:///{folder}/traces.db") as store:
        counts = store.jobs.counts()
    if counts["done"] != sum(counts.values()):
        raise Broken(f"Not all jobs were done: {counts}.")
    if max(tally.done.values(), default=0) > 1:
        raise Broken("A job was done twice.")
    tally.happened["jobs done"] += counts["done"]


def run(rounds: int, seed: int, tell: Callable[[str], None] = lambda line: None) -> Counter[str]:
    """Run rounds and return how often what happened.

    Raises:
        Broken: as soon as a store does not keep what it promised.
    """
    chance = random.Random(seed)
    total: Counter[str] = Counter()
    for first in range(0, rounds, ROUNDS_A_STORE):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            tally = Tally()
            for number in range(first, min(first + ROUNDS_A_STORE, rounds)):
                kind = "killed" if number == first else chance.choice(KINDS)
                run_round(folder, f"round {number}", kind, chance, tally)
                verify(folder, tally)
                tell(f"{number + 1} of {rounds} rounds: {kind}")
            finish(folder, tally)
            total += tally.happened
    return total


def _write_all(descriptor: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _lose_rights(path: Path) -> None:
    """Make a store's files read-only for this process."""
    for each in path.parent.iterdir():
        each.chmod(0o444)
    if os.geteuid() == 0:  # whom no mode stops
        os.setgid(65534)
        os.setuid(65534)


def main() -> None:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write benchmarks/DURABILITY.md")
    arguments = parser.parse_args()
    counts = run(arguments.rounds, arguments.seed, lambda line: print(f"\r{line:<50}", end="", flush=True))
    text = "\n".join(
        [
            "# Killed, out of space, read-only: nothing lost",
            f"`python benchmarks/durability.py --rounds {arguments.rounds} --seed {arguments.seed}`:",
            "after each round the store opened, `db check` was clean, every acknowledged step was there with",
            "its job, and in the end every job had been done exactly once.",
            "",
            "| what | how often |",
            "| --- | ---: |",
            *(f"| {what} | {number:,} |" for what, number in sorted(counts.items())),
            "",
        ]
    )
    print(f"\r{text}")
    if arguments.write:
        (Path(__file__).parent / "DURABILITY.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
