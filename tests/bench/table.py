"""How a measurement is shown: rates, their ratio, the budget beside it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One subject against its floor.

    Attributes:
        name: what was measured.
        rate: of the subject, per second.
        floor_name: what it was measured against.
        floor_rate: per second, in the same run.
        budget: least ratio wanted.
    """

    name: str
    rate: float
    floor_name: str
    floor_rate: float
    budget: float | None

    @property
    def ratio(self) -> float:
        """Subject to floor."""
        return self.rate / self.floor_rate


def show(measurements: list[Measurement]) -> str:
    """A table for people; below budget is said, not hidden."""
    lines = [f"{'':34} {'per second':>11}  {'floor':38} {'per second':>11}  {'ratio':>6}  budget"]
    for each in measurements:
        budget = "" if each.budget is None else f"≥ {each.budget:.2f}"
        verdict = "" if each.budget is None else "  met" if each.ratio >= each.budget else "  BELOW"
        lines.append(
            f"{each.name:34} {each.rate:11,.0f}  {each.floor_name:38} {each.floor_rate:11,.0f}  {each.ratio:6.2f}"
            f"  {budget}{verdict}"
        )
    return "\n".join(lines)
