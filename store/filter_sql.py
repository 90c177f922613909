"""Turn a filter into an SQL condition on traces.

Fields a listing shows mean what it shows there: `tokens` is the trace's sum, `fidelity` its lowest,
`status` the trace's own. Fields of steps (`step`, `tool`, `model`, `error`, `text`, and attribution
shares) ask whether some step of the trace agrees, and ``!=`` and ``not`` whether none does. What
a user wrote only ever becomes a bound parameter.

Each condition is a comparison of the traces' own indexed columns, or an `IN` over the trace ids an
index finds; none asks every trace about its steps.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Text, and_, false, not_, or_, select
from sqlalchemy import type_coerce as coerce
from sqlalchemy.orm import InstrumentedAttribute, aliased

from .column_types import compact_json
from .filter_syntax import AllOf, Comparison, FilterError, Node, Not, ShareCondition, Token, parse_filter
from .full_text import traces_with_words
from .schema import AnnotationRow, FacetRow, StepRow, TagRow, TraceRow
from .share_sql import share_condition
from .totals import FIDELITY_ORDER
from .words import words_of

Condition = ColumnElement[bool]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")
_STATUSES = ("ok", "error", "incomplete")
_SELF = aliased(TraceRow)
"""The traces once more, inside a subquery."""

_TOP_CHARACTER = "\U0010ffff"
_MOST = 2**53
"""Numbers above are not exact in a float, and no trace has them."""


def filter_condition(text: str, dialect: str, now: datetime | None = None) -> Condition:
    """Return the condition on `TraceRow` that a filter states.

    Args:
        text: as `flashtrace_agent.store.filter_syntax` describes it.
        dialect: ``sqlite`` or ``postgresql``.
        now: what ``since 7d`` counts back from; by default the present.

    Raises:
        FilterError: showing the character where it cannot be understood.
    """
    return _Compiler(text, dialect, now or datetime.now(UTC)).condition(parse_filter(text))


class _Compiler:
    def __init__(self, text: str, dialect: str, now: datetime) -> None:
        self._text = text
        self._dialect = dialect
        self._now = now
        self._fields: dict[str, Callable[[Comparison], Condition]] = {
            "trace": self._trace,
            "step": self._step,
            "tool": lambda c: self._facet(c, "tool"),
            "model": lambda c: self._facet(c, "model"),
            "tag": self._tag,
            "session": lambda c: self._words(c, TraceRow.session),
            "prompt_version": lambda c: self._words(c, TraceRow.prompt_version),
            "name": lambda c: self._words(c, TraceRow.name),
            "status": self._status,
            "fidelity": self._fidelity,
            "error": self._error_text,
            "tokens": self._tokens,
            "latency": self._latency,
            "started": self._started,
            "text": self._full_text,
            "label": lambda c: self._annotated(self._words(c, AnnotationRow.label)),
            "note": lambda c: self._annotated(self._words(c, AnnotationRow.note)),
            "who": lambda c: self._annotated(self._words(c, AnnotationRow.who)),
            "score": self._score,
        }

    def condition(self, node: Node) -> Condition:
        if isinstance(node, Not):
            return not_(self.condition(node.part))
        if isinstance(node, ShareCondition):
            return self._share(node)
        if isinstance(node, Comparison):
            return self._comparison(node)
        parts = [self.condition(part) for part in node.parts]
        return and_(*parts) if isinstance(node, AllOf) else or_(*parts)

    def _comparison(self, comparison: Comparison) -> Condition:
        compile_field = self._fields.get(comparison.field.text.lower())
        if compile_field is None:
            known = ", ".join(self._fields)
            raise self._mistake(
                comparison.field, f"there is no field {comparison.field.text!r}; the fields are {known}."
            )
        if comparison.operator.text == "!=":
            equal = Token("symbol", "=", comparison.operator.position)
            return not_(compile_field(Comparison(comparison.field, equal, comparison.values)))
        return compile_field(comparison)

    # Fields of the trace

    def _trace(self, comparison: Comparison) -> Condition:
        return self._begins(comparison, TraceRow.id)

    def _status(self, comparison: Comparison) -> Condition:
        self._one_of(comparison, _STATUSES)
        return self._words(comparison, TraceRow.status)

    def _tag(self, comparison: Comparison) -> Condition:
        return TraceRow.id.in_(select(TagRow.trace_id).where(self._words(comparison, TagRow.tag)))

    def _fidelity(self, comparison: Comparison) -> Condition:
        self._one_of(comparison, FIDELITY_ORDER)
        return self._words(comparison, TraceRow.fidelity)

    def _tokens(self, comparison: Comparison) -> Condition:
        return self._numbers(comparison, _SELF.tokens, self._count)

    def _latency(self, comparison: Comparison) -> Condition:
        duration = coerce(_SELF.ended_at, BigInteger) - coerce(_SELF.started_at, BigInteger)
        return self._numbers(comparison, duration, lambda value: round(self._seconds(value) * 1e6))

    def _started(self, comparison: Comparison) -> Condition:
        return self._numbers(comparison, _SELF.started_at, self._moment)

    # Fields of steps

    def _step(self, comparison: Comparison) -> Condition:
        return TraceRow.id.in_(select(StepRow.trace_id).where(self._begins(comparison, StepRow.id)))

    def _facet(self, comparison: Comparison, field: str) -> Condition:
        found = self._words(comparison, FacetRow.value)
        return TraceRow.id.in_(select(FacetRow.trace_id).where(FacetRow.field == field, found))

    def _error_text(self, comparison: Comparison) -> Condition:
        def agrees(column: InstrumentedAttribute[Any]) -> Condition:
            # Errors are stored as JSON, so the text between their quotes is compared.
            text = coerce(column, Text)
            if comparison.operator.text == "~":
                needle = compact_json(comparison.values[0].text)[1:-1]
                found: Condition = text.icontains(needle, autoescape=True)
            else:
                found = text.in_([compact_json(value.text) for value in comparison.values])
            return and_(column.is_not(None), found)

        self._allow(comparison, "=", "~")
        of_traces = select(_SELF.id).where(agrees(_SELF.error))
        of_steps = select(StepRow.trace_id).where(agrees(StepRow.error))
        return TraceRow.id.in_(of_traces.union_all(of_steps))

    def _full_text(self, comparison: Comparison) -> Condition:
        self._allow(comparison, "~")
        value = comparison.values[0]
        words = words_of(value.text)
        if not words:
            raise self._mistake(value, "there is no word to look for; write text ~ 'red sofas'.")
        return TraceRow.id.in_(traces_with_words(words, self._dialect))

    # Annotations

    def _score(self, comparison: Comparison) -> Condition:
        return self._annotated(self._compare(comparison, AnnotationRow.score, self._number))

    def _annotated(self, said: Condition) -> Condition:
        return TraceRow.id.in_(select(AnnotationRow.trace_id).where(said))

    def _share(self, node: ShareCondition) -> Condition:
        match = _AMOUNT.fullmatch(node.number.text)
        if match is None or match[2]:
            raise self._mistake(node.number, "a share is a number from 0 to 1, as in 0.5.")
        return share_condition(
            segment=node.segment.text,
            target=None if node.target is None else node.target.text,
            compare=_COMPARE[node.operator.text],
            share=float(match[1]),
        )

    # Ways to compare

    def _words(self, comparison: Comparison, column: InstrumentedAttribute[Any]) -> Condition:
        """Compare a text column: equal to one of the values, or containing the value."""
        self._allow(comparison, "=", "~")
        if comparison.operator.text == "~":
            found: Condition = column.icontains(comparison.values[0].text, autoescape=True)
        else:
            values = [value.text for value in comparison.values]
            found = column == values[0] if len(values) == 1 else column.in_(values)
        # Two-valued, so that `not` finds the rows without a value too.
        return and_(column.is_not(None), found)

    def _begins(self, comparison: Comparison, column: InstrumentedAttribute[str]) -> Condition:
        """Compare an id with the beginnings of ids."""
        self._allow(comparison, "=")
        starts = [value.text.lower() for value in comparison.values]
        # No id holds what no text can; such a beginning finds nothing.
        storable = [start for start in starts if start.isascii() and start.isprintable()]
        ranges = [and_(column >= start, column < start + _TOP_CHARACTER) for start in storable]
        return or_(false(), *ranges)

    def _numbers(
        self, comparison: Comparison, column: ColumnElement[Any] | Any, read: Callable[[Token], Any]
    ) -> Condition:
        """Compare a number of `_SELF`. As an `IN`, because for a bare range SQLite would walk all traces."""
        return TraceRow.id.in_(select(_SELF.id).where(self._compare(comparison, column, read)))

    def _compare(
        self, comparison: Comparison, column: ColumnElement[Any] | Any, read: Callable[[Token], Any]
    ) -> Condition:
        self._allow(comparison, "=", "<", "<=", ">", ">=")
        compare = _COMPARE[comparison.operator.text]
        return or_(*(coerce(compare(column, read(value)), Boolean) for value in comparison.values))

    # Values

    def _number(self, value: Token) -> float:
        try:
            number = float(value.text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._mistake(value, f"{value.text!r} is no number; write one, as in 0.5.")
        return number

    def _count(self, value: Token) -> float:
        match = _AMOUNT.fullmatch(value.text)
        if match is None or match[2] or float(match[1]) > _MOST:
            raise self._mistake(value, f"{value.text!r} is no number of tokens; write one, as in 4000.")
        return float(match[1])

    def _seconds(self, value: Token) -> float:
        match = _AMOUNT.fullmatch(value.text)
        seconds = float(match[1]) * _UNITS.get(match[2] or "s", -1.0) if match else -1.0
        if not 0 <= seconds <= _MOST / 1e6:
            units = ", ".join(_UNITS)
            raise self._mistake(value, f"{value.text!r} is no duration; write 1.5s, 200ms or 7d ({units}).")
        return seconds

    def _moment(self, value: Token) -> datetime:
        if _AMOUNT.fullmatch(value.text) and not value.text.isdecimal():
            try:
                return self._now - timedelta(seconds=self._seconds(value))
            except OverflowError as error:
                raise self._mistake(value, f"{value.text!r} ago is before all times.") from error
        try:
            moment = datetime.fromisoformat(value.text)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            raise self._mistake(
                value,
                f"{value.text!r} is no time; write '2025-03-01', '2025-03-01T12:30' (UTC) or 7d ago as 7d.",
            ) from error

    # Mistakes

    def _allow(self, comparison: Comparison, *operators: str) -> None:
        if comparison.operator.text not in operators:
            shown = " ".join((*operators, *(("!=", "in") if "=" in operators else ())))
            raise self._mistake(
                comparison.operator, f"{comparison.field.text} can be compared with {shown} only."
            )

    def _one_of(self, comparison: Comparison, allowed: Sequence[str]) -> None:
        self._allow(comparison, "=")
        for value in comparison.values:
            if value.text not in allowed:
                raise self._mistake(
                    value, f"{comparison.field.text} is {', '.join(allowed[:-1])} or {allowed[-1]}."
                )

    def _mistake(self, token: Token, sentence: str) -> FilterError:
        return FilterError(self._text, token.position, sentence)
