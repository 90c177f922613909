"""Read a filter: text to a tree, with the place of every mistake.

    filter    = all-of ("or" all-of)*
    all-of    = one ("and" one)*
    one       = "not" one | "(" filter ")" | condition
    condition = FIELD ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~") VALUE
              | FIELD ["not"] "in" "(" VALUE ("," VALUE)* ")"
              | ("since" | "before") VALUE
              | "segment" NAME "share" ("<" | "<=" | ">" | ">=") NUMBER ["of" "target" NAME]

A value is quoted text ('it''s', "so"), a number with or without a unit (4000, 7d, 1.5s) or a bare
word. Words of the language are recognized in any case. What fields there are, and what they may be
compared with, is `flashtrace_agent.store.filter_sql`'s to know.

Written by hand and not with a parser library: with the places of mistakes and their sentences, a
grammar file plus its handlers came out longer than this.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from flashtrace_agent.errors import StoreError

MAX_CONDITIONS = 200
"""SQLite refuses expressions nested deeper than 1,000; a person writes ten."""

MAX_VALUES = 500
MAX_DEPTH = 50

ORDERS = ("<", "<=", ">", ">=")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<unclosed>['"])
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?[A-Za-z]*(?![\w.:#-]))
    |(?P<word>[^\W_](?:[\w.:#/-]*\w)?|_\w*)
    |(?P<symbol><=|>=|!=|[=<>~(),])
    |(?P<end>$)
    |(?P<unknown>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = {"and", "or", "not", "in", "since", "before", "segment", "share", "of", "target"}


class FilterError(StoreError):
    """A filter cannot be understood; the message shows where.

    Args:
        text: the whole filter.
        position: index of the character at fault, `len(text)` for its end.
        sentence: what is wrong and what to write instead.
    """

    def __init__(self, text: str, position: int, sentence: str) -> None:
        shown = "".join(char if char.isprintable() else " " for char in text)
        before = sum(map(_columns, shown[:position]))
        super().__init__(
            f"The filter is wrong at character {position + 1}: {sentence}\n  {shown}\n  {' ' * before}^"
        )
        self.position = position


def _columns(char: str) -> int:
    """Return how many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the filter: its kind, what it says and where it stands."""

    kind: str  # text, number, word, symbol, end
    text: str
    position: int

    def is_word(self, *words: str) -> bool:
        """Tell whether this is one of the language's words, in any case."""
        return self.kind == "word" and self.text.lower() in words


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``; for ``in``, the operator is ``=`` and there are several values."""

    field: Token
    operator: Token
    values: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class ShareCondition:
    """``segment NAME share > 0.5 of target NAME``."""

    segment: Token
    operator: Token
    number: Token
    target: Token | None


@dataclass(frozen=True, slots=True)
class Not:
    """True where `part` is false."""

    part: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    """True where every part is."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where one part is."""

    parts: tuple[Node, ...]


Node = Comparison | ShareCondition | Not | AllOf | AnyOf


def parse_filter(text: str) -> Node:
    """Return the tree of a filter.

    Raises:
        FilterError: showing the character where it cannot be understood.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokenize(text)
        self._next = 0
        self._conditions = 0
        self._values = 0

    def parse(self) -> Node:
        if self._peek().kind == "end":
            raise self._error(self._peek(), "it is empty; write a condition, as in status = 'error'.")
        node = self._any_of(0)
        rest = self._peek()
        if rest.kind != "end":
            raise self._error(rest, f"{rest.text!r} is not expected here; join conditions with and or or.")
        return node

    def _any_of(self, depth: int) -> Node:
        parts = self._separated("or", lambda: self._all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(parts)

    def _all_of(self, depth: int) -> Node:
        parts = self._separated("and", lambda: self._one(depth))
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _separated(self, separator: str, read: Callable[[], Node]) -> tuple[Node, ...]:
        parts = [read()]
        while self._peek().is_word(separator):
            self._take()
            parts.append(read())
        return tuple(parts)

    def _one(self, depth: int) -> Node:
        token = self._peek()
        if depth > MAX_DEPTH:
            raise self._error(token, f"it is nested more than {MAX_DEPTH} deep; write it flatter.")
        if token.is_word("not"):
            self._take()
            return Not(self._one(depth + 1))
        if token == Token("symbol", "(", token.position):
            self._take()
            inside = self._any_of(depth + 1)
            self._symbol(")", "the parenthesis is not closed; write ) here.")
            return inside
        return self._condition()

    def _condition(self) -> Node:
        self._conditions += 1
        field = self._take()
        if self._conditions > MAX_CONDITIONS:
            raise self._error(field, f"it has more than {MAX_CONDITIONS} conditions; use `in (…)`.")
        if field.is_word("since", "before"):
            symbol = ">=" if field.is_word("since") else "<"
            started = Token("word", "started", field.position)
            return Comparison(started, Token("symbol", symbol, field.position), (self._value("7d"),))
        if field.is_word("segment"):
            return self._share()
        if field.kind != "word" or field.text.lower() in _KEYWORDS:
            raise self._error(field, "a condition is missing; write one, as in tool = 'get_weather'.")
        if self._peek().is_word("not", "in"):
            return self._membership(field)
        operator = self._operator(OPERATORS)
        example = "4000" if operator.text in ("<", "<=", ">", ">=") else "'get_weather'"
        return Comparison(field, operator, (self._value(example),))

    def _membership(self, field: Token) -> Node:
        negated = self._peek().is_word("not")
        if negated:
            self._take()
        word = self._peek()
        if not word.is_word("in"):
            raise self._error(word, "`in` is missing after `not`; write not in ('a', 'b').")
        self._take()
        self._symbol("(", "a list is missing; write in ('a', 'b').")
        values = [self._value("'a'")]
        while self._peek().text == "," and self._peek().kind == "symbol":
            self._take()
            values.append(self._value("'b'"))
        self._symbol(")", "the list is not closed; write ) here.")
        found = Comparison(field, Token("symbol", "=", word.position), tuple(values))
        return Not(found) if negated else found

    def _share(self) -> Node:
        segment = self._value("tool_result")
        word = self._peek()
        if not word.is_word("share"):
            raise self._error(word, "`share` is missing; write segment tool_result share > 0.5.")
        self._take()
        operator = self._operator(ORDERS)
        number = self._value("0.5")
        target = None
        if self._peek().is_word("of"):
            self._take()
            if not self._peek().is_word("target"):
                raise self._error(self._peek(), "`target` is missing; write of target answer.")
            self._take()
            target = self._value("answer")
        return ShareCondition(segment, operator, number, target)

    def _operator(self, allowed: tuple[str, ...]) -> Token:
        token = self._peek()
        if token.kind != "symbol" or token.text not in allowed:
            raise self._error(token, f"a comparison is missing; write one of {' '.join(allowed)}.")
        return self._take()

    def _value(self, example: str) -> Token:
        token = self._peek()
        if token.kind not in ("text", "number", "word"):
            raise self._error(token, f"a value is missing; write one, as in {example}.")
        if token.kind == "word" and token.text.lower() in _KEYWORDS:
            raise self._error(token, f"a value is missing; quote the word if you mean it: '{token.text}'.")
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._error(token, f"it has more than {MAX_VALUES} values; use several filters.")
        return self._take()

    def _symbol(self, symbol: str, sentence: str) -> None:
        token = self._peek()
        if token.kind != "symbol" or token.text != symbol:
            raise self._error(token, sentence)
        self._take()

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _error(self, token: Token, sentence: str) -> FilterError:
        return FilterError(self._text, token.position, sentence)


def _tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    end = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, end)
        if match is None or match.lastgroup is None:  # the last alternative matches any character
            raise FilterError(text, end, "it cannot be read from here.")
        kind, position, piece = match.lastgroup, match.start(match.lastgroup), match[match.lastgroup]
        if kind == "unclosed":
            raise FilterError(
                text, position, f"the text that begins here is not closed; write {piece} after it."
            )
        if kind == "unknown":
            raise FilterError(text, position, f"{piece!r} means nothing here; put text in quotes.")
        if kind == "text":
            piece = piece[1:-1].replace(piece[0] * 2, piece[0])
        tokens.append(Token(kind, piece, position))
        end = match.end()
    return tokens
