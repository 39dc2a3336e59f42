"""What an exercise is: a question, what counts as right, and what wrong answers tell.

A chapter's file lists its exercises:

    EXERCISES = (
        Choice("2.1", "More at-bats", ask=..., options={"less": ..., "more": ...}, answer=...),
        Number("2.2", "What pooling saves", ask=..., answer=error_of_pooling, tolerance=0.01),
        Fitted("2.3", "Repair", ask=..., answer=..., quantity=lambda fit: fit.fixef["x"]),
    )

``answer`` is a function, called when a reader's answer is checked: right numbers come from a
fit and are never written down. Wrong answers that come from a known mistake are listed as
misconceptions, each with a hint of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from numbers import Real
from typing import Any

from mixedlab.errors import MixedlabError

# A number is close within so many tolerances, if that is a small share of the number itself.
_CLOSE, _NEAR = 10, 0.05


class WrongKind(MixedlabError):
    """An answer that cannot be judged, since it is not of the kind asked for."""


@dataclass(frozen=True)
class Misconception:
    """A mistake that readers make, known by the answer it leads to.

    ``name`` stands in the class's report; ``value`` is the answer, or a function that computes
    it; ``hint`` says what was done and asks the question that helps.
    """

    name: str
    value: Any
    hint: str

    def answer(self) -> Any:
        """Return the wrong answer this mistake leads to."""
        return self.value() if callable(self.value) else self.value


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one answer."""

    correct: bool
    says: str
    misconception: str = ""


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all exercises share.

    Attributes
    ----------
    id : str
        ``"2.2"``: chapter and number.
    title : str
    ask : str
        The question in a sentence or two, as a blank is answered with.
    answer : callable
        ``answer()`` computes what is right.
    hint : str
        What is said after a first wrong answer that is no known mistake.
    solution : callable
        ``solution(right)`` says the way and the right answer in words; shown after a second
        wrong answer.
    praise : str
        What is worth adding when the answer is right.
    misconceptions : sequence of Misconception
    """

    id: str
    title: str
    ask: str
    answer: Callable[[], Any]
    hint: str
    solution: Callable[[Any], str]
    praise: str = ""
    misconceptions: Sequence[Misconception] = ()

    @property
    def question(self) -> str:
        """The question with what its answer is held to."""
        return self.ask

    def judge(self, answer: Any) -> Verdict:
        """Say whether an answer is right; raises `WrongKind`, in words, where it is none."""
        given, right = self.read(answer), self.answer()
        if self.agree(given, right):
            return Verdict(True, self.confirm(right))
        for mistake in self.misconceptions:
            if self.agree(given, mistake.answer()):
                return Verdict(False, mistake.hint, mistake.name)
        return self.judge_other(given, right)

    def read(self, answer: Any) -> Any:
        """Bring an answer into the form in which it is judged."""
        raise NotImplementedError

    def agree(self, given: Any, value: Any) -> bool:
        """Whether two answers count as the same."""
        raise NotImplementedError

    def confirm(self, right: Any) -> str:
        """What is said to a right answer."""
        return self.praise

    def judge_other(self, given: Any, right: Any) -> Verdict:
        """Judge a wrong answer that no listed mistake leads to."""
        return Verdict(False, self.hint)


@dataclass(frozen=True, kw_only=True)
class Number(Exercise):
    """An exercise whose answer is one number, right within ``tolerance`` (same unit)."""

    tolerance: float
    unit: str = ""

    @property
    def question(self) -> str:
        """The question with its tolerance."""
        return f"{self.ask} An answer within {self.tolerance:g} counts."

    def read(self, answer: Any) -> float:
        """Take a number of any numeric type, or a table or array that holds just one."""
        if isinstance(answer, str):
            raise WrongKind(_text_for_a_number(answer))
        if isinstance(answer, bool) or type(answer).__name__ in ("bool", "bool_"):
            raise WrongKind(f"{answer} is true or false; this asks for a number.")
        if answer is None:
            raise WrongKind(
                "Your answer is None. Perhaps a function that prints its result was called, or "
                "one that lacks its `return`."
            )
        number = answer if isinstance(answer, Real) else _only_value(answer)
        try:
            number = float(number)
        except (TypeError, ValueError):
            raise WrongKind(f"{_kind(answer)} is no number, and one number is asked for.") from None
        if not math.isfinite(number):
            raise WrongKind(
                f"Your answer is {number}: look where a missing or infinite value enters."
            )
        return number

    def agree(self, given: float, value: float) -> bool:
        """Whether two numbers are within the tolerance (and the rounding of floats)."""
        return abs(given - value) <= self.tolerance * (1 + 1e-9)

    def confirm(self, right: float) -> str:
        """State the number and the tolerance."""
        return f"{self.show(right)} (any answer within {self.tolerance:g} counts). {self.praise}"

    def judge_other(self, given: float, right: float) -> Verdict:
        """Notice a sign turned round, a percentage or a near miss; else give the hint."""
        if abs(right) > 2 * self.tolerance:
            if self.agree(-given, right):
                says = "The size is right; the sign is the other way round."
                return Verdict(False, says, "sign turned round")
            if abs(right) <= 1 and abs(given / 100 - right) <= self.tolerance:
                says = "That is 100 times the answer. Is it a percentage? Give the share itself."
                return Verdict(False, says, "percentage for a share")
            off = abs(given - right)
            if off <= min(_CLOSE * self.tolerance, _NEAR * abs(right)):
                says = f"Close, but further off than {self.tolerance:g}. Is it rounded too early?"
                return Verdict(False, f"{says} {self.hint}", "close")
        return Verdict(False, f"{self.hint} An answer within {self.tolerance:g} counts.")

    def show(self, value: float) -> str:
        """Write a value with the digits that the tolerance makes meaningful."""
        digits = max(0, -math.floor(math.log10(self.tolerance)))
        return f"{value:.{digits}f}{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True, kw_only=True)
class Fitted(Number):
    """An exercise whose answer is a fit: ``quantity(fit)`` is the number judged."""

    quantity: Callable[[Any], float] = field(default=lambda fit: fit.criterion)

    def read(self, answer: Any) -> float:
        """Take the number from a fit."""
        if not (hasattr(answer, "fixef") or hasattr(answer, "coef")):
            raise WrongKind(
                f"{_kind(answer)} is no fit: answer with what ml.lmm or another model returns."
            )
        try:
            return super().read(self.quantity(answer))
        except (KeyError, AttributeError, IndexError) as error:
            raise WrongKind(
                f"This fit has no {error}: look again at the formula that is asked for."
            ) from None


@dataclass(frozen=True, kw_only=True)
class Choice(Exercise):
    """An exercise whose answer is one of a few words; ``options`` maps each to its meaning."""

    options: Mapping[str, str]

    def read(self, answer: Any) -> str:
        """Take one of the words, whatever its case."""
        listed = ", ".join(repr(option) for option in self.options)
        if not isinstance(answer, str):
            raise WrongKind(f"{_kind(answer)} is no word: answer with one of {listed}.")
        word = " ".join(answer.strip().strip("\"'.").lower().split())
        if word not in self.options:
            near = get_close_matches(word, self.options, n=1, cutoff=0.75)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise WrongKind(f"{answer!r} is none of the options.{meant} They are {listed}.")
        return word

    def agree(self, given: str, value: str) -> bool:
        """Whether the words are the same."""
        return given == value


def _kind(answer: Any) -> str:
    kind = type(answer).__name__
    return f"{'An' if kind[0].lower() in 'aeiou' else 'A'} {kind}"


def _text_for_a_number(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return f"{text!r} is text; this asks for a number."
    return f"{text!r} is text. Write the number without quotation marks: {text.strip()}."


def _only_value(answer: Any) -> Any:
    """The value of a table, array or list that holds just one; else say how many it holds."""
    size = getattr(answer, "size", None)
    if size is None and isinstance(answer, Sequence):
        size = len(answer)
    if not isinstance(size, int):
        return answer
    if size != 1:
        raise WrongKind(
            f"{_kind(answer)} with {size} values: the exercise asks for one number. Pick the value "
            "that is asked for, or add them up if a total is."
        )
    if hasattr(answer, "to_numpy"):
        answer = answer.to_numpy()
    return answer.reshape(-1)[0] if hasattr(answer, "reshape") else answer[0]
