"""What a diagnosis says: what was checked, what was found, and what could not be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mixedlab.errors import listed
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.reporting import Report, Summary

SURE = 1e-4
"""P-value below which a test tells of something: once in ten thousand sound data sets."""
SURE_OF_MANY = 1e-5
"""The same for checks that put several questions to one fit."""


Kind = Literal[
    "not converged",
    "unidentified",
    "singular",
    "badly scaled",
    "separated",
    "overdispersed",
    "underdispersed",
    "too many zeros",
    "bounded response",
    "outlying rows",
    "skewed",
    "heavy tails",
    "family does not fit",
    "uneven spread",
    "outlying groups",
    "effects not normal",
    "repeated rows",
    "nested labels",
    "similar labels",
    "single rows",
    "few groups",
    "influential",
    "two slopes",
    "bent",
    "differing slopes",
    "autocorrelated",
    "informative size",
]


class NotChecked(Exception):
    """A check does not apply to a fit; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Attributes
    ----------
    kind : str
        One of those in `Kind`.
    about : str
        The term or column.
    text : str
        What was found and what it means.
    remedy : str
        What one can do.
    """

    kind: Kind
    about: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """One question put to a fit.

    Attributes
    ----------
    name : str
        What was looked for.
    findings : tuple of Finding
        Empty where nothing was found.
    not_checked : str
        Why the question could not be put; empty where it was.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    not_checked: str = ""

    @classmethod
    def of(cls, name: str, look: Callable[[MixedModel], list[Finding]], fit: MixedModel) -> Check:
        """Look for one thing."""
        try:
            return cls(name, tuple(look(fit)))
        except NotChecked as reason:
            return cls(name, not_checked=str(reason))


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """What was checked of a fit and what was found; false where nothing was.

    Attributes
    ----------
    checks : tuple of Check
        In the order in which they were made.

    Examples
    --------
    >>> import mixedlab as ml
    >>> found = ml.diagnose(ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2")))
    >>> [(finding.kind, finding.about) for finding in found]
    [('singular', 'Batch')]
    >>> "few groups" in found.checked
    True
    """

    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found."""
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def checked(self) -> tuple[str, ...]:
        """Names of the checks that were made."""
        return tuple(check.name for check in self.checks if not check.not_checked)

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def summary(self) -> Summary:
        """The findings in words, then what was checked without one, and what was not."""
        lines = [f"{f.kind.capitalize()}: {f.text} {f.remedy}".strip() for f in self.findings]
        if len(lines) > 1:
            lines.append("One fault may show in several of these: mend one, fit and ask again.")
        clear = [c.name for c in self.checks if not c.findings and not c.not_checked]
        if clear:
            lines.append(f"Checked, nothing found: {listed(clear, len(clear))}.")
        lines += [f"Not checked: {c.name}: {c.not_checked}" for c in self.checks if c.not_checked]
        made = len(self.checked)
        title = "Worth knowing" if self.findings else f"Nothing found by the {made} checks made"
        return Summary(title, lines)
