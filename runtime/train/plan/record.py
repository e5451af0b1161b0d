"""A plan: how the steps of a training are run, and what it was chosen by, as `config.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

WITH = " with "  # between the names of levers that were tried at once


@dataclass(frozen=True, slots=True)
class Trial:
    """A lever that was tried, or several at once. speed: steps in a second with it, as a multiple of those without.
    refused: why it could not be timed."""

    lever: str
    speed: float | None
    taken: bool
    refused: str | None = None

    def line(self) -> str:
        """`channels-last 1.24x`, or why not."""
        return f"{self.lever} ({self.refused})" if self.speed is None else f"{self.lever} {self.speed:.2f}x"


@dataclass(frozen=True, slots=True)
class Plan:
    """The levers that are pulled, by name, in their order.

    tried: those that were measured, in the order in which they were. steps, seconds: what measuring took, all of it
    undone. why: where nothing was measured, the reason.
    """

    levers: Sequence[str] = ()
    tried: Sequence[Trial] = ()
    steps: int = 0
    seconds: float = 0.0
    why: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "levers": list(self.levers), "tried": [asdict(trial) for trial in self.tried]}

    @staticmethod
    def read(document: Mapping[str, Any]) -> Plan:
        """The plan of such a document. Raises KeyError or TypeError where it is none."""
        tried = tuple(Trial(**trial) for trial in document["tried"])
        return Plan(tuple(document["levers"]), tried, document["steps"], document["seconds"], document["why"])

    def line(self) -> str:
        """The plan as a person reads it: what is done, what each lever gained, what was left."""
        known = {lever: trial for trial in self.tried if trial.taken for lever in trial.lever.split(WITH)}
        pulled = dict.fromkeys(known[lever].line() if lever in known else lever for lever in self.levers)
        told = f"plan: {', '.join(pulled) or 'plain'}"
        left = [trial.line() for trial in self.tried if not trial.taken and trial.lever not in self.levers]
        if left:
            told += f"; left: {', '.join(left)}"
        if self.tried:
            return f"{told}; {self.steps} steps tried in {self.seconds:.1f} s"
        return f"{told}; {self.why}" if self.why else told
