"""Choosing among the tokens of a step nothing is known about yet."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.prompt.local_tokenizer import LocalTokenizer
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Job, Store
from flashtrace_agent.store.work import work
from flashtrace_agent.trace import Step

from .agent_run import Run, attribute_like, build_run
from .browser import Watched, bring_into_sight, see_target, serving
from .conftest import fill

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def byte_tokenizer(folder: Path) -> Tokenizer:
    """Write a tokenizer whose tokens are single bytes into a folder, as a model's files lie there."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: index for index, piece in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def with_real_ids(run: Run, folder: Path) -> tuple[Run, str]:
    """Return the run without attributions, its first step's ids of a tokenizer on this machine; its text."""
    tokenizer = byte_tokenizer(folder)
    step = run.trace.steps[0]
    known = run.attributions[step.id][0]
    written = len(step.prompt_ids or [])
    step.prompt_ids = tokenizer.encode("".join(known.tokens[:written])).ids
    step.completion_ids = tokenizer.encode("".join(known.tokens[written:])).ids
    step.model = str(folder)
    return Run(run.trace, {}), "".join(known.tokens)


def test_tokens_are_chosen_before_anything_is_explained(browser: Browser, tmp_path: Path) -> None:
    """The tokens stand there without colours; a click takes a named part, a drag is queued and lights up."""
    run, text = with_real_ids(build_run(5), tmp_path)
    step = run.trace.steps[0]
    start = text.index("customer asks", text.rindex("<think>"))
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    fill(url, [run])

    def explain(each: Step, job: Job) -> list[Attribution]:
        ids = each.token_ids or []
        written = len(each.prompt_ids or [])
        pieces = TokenText(LocalTokenizer(tmp_path / "tokenizer.json"), ids).pieces
        segments = (
            Segment("user", Span(0, written), 1),
            Segment("reasoning", Span(written, len(ids)), -1),
        )
        like = replace(build_run(5).attributions[step.id][0], tokens=pieces, segments=segments)
        scores = (like.input_ids[:1] * 0 + 1.0).repeat(len(ids)).astype("float32")
        like = replace(like, scores=scores, input_ids=scores.astype("int32"))
        return [attribute_like(like, target) for target in job.targets or ()]

    with serving(url) as address, Store(url) as store:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/why?trace={run.trace.id}&step={step.id}")
        expect(page.get_by_text("Nothing explained yet").first).to_be_visible()
        assert store.jobs.open() == []
        first = bring_into_sight(page, start)
        expect(page.locator(".ft-body .ft-t[style*='--heat']")).to_have_count(0)
        watched.shoot("why-unexplained")
        first.hover()
        page.mouse.down()
        page.locator(f'.ft-t[data-pos="{start + 7}"]').first.hover()
        expect(page.locator(".ft-marked")).to_have_count(8)
        page.mouse.up()
        expect(page.get_by_text("waits in the queue").first).to_be_visible()
        expect(page.locator(".ft-pending").first).to_be_visible()
        (job,) = store.jobs.open()
        assert job.targets == (f"{start}:{start + 8}",)
        worker = threading.Thread(
            target=lambda: list(work(store, explain, worker="test:1", stop=threading.Event(), watch=False))
        )
        worker.start()
        see_target(page, f"{start}:{start + 8}")
        worker.join()
        expect(page.get_by_text("Nothing explained yet")).to_have_count(0)
        bring_into_sight(page, start)
        expect(page.locator(".ft-body .ft-target")).to_have_count(8)
        watched.close()


def test_a_click_takes_the_named_part(browser: Browser, tmp_path: Path) -> None:
    """As on a step that is explained: the tool's name, read off the tokens' texts."""
    run, text = with_real_ids(build_run(5), tmp_path)
    step = run.trace.steps[0]
    fill(url := f"sqlite:///{tmp_path / 'traces.db'}", [run])
    with serving(url) as address, Store(url) as store:
        watched = Watched(browser)
        page = watched.page
        page.goto(f"{address}/why?trace={run.trace.id}&step={step.id}")
        bring_into_sight(page, text.rindex('"lookup"') + 3).click()
        expect(page.get_by_text("waits in the queue").first).to_be_visible()
        assert [job.targets for job in store.jobs.open()] == [("tool_name",)]
        watched.close()
