"""The smallest edits that would make numbers fit: what a report offers where a search over the literals finds it."""

from __future__ import annotations


def multiples_near(number: int, divisor: int) -> list[int]:
    """The multiples of `divisor` next to `number`, the nearer one first; only positive ones."""
    below = number // divisor * divisor
    around = sorted((below, below + divisor), key=lambda multiple: abs(multiple - number))
    return [multiple for multiple in around if multiple > 0]


def divisors_near(number: int, divisor: int, count: int = 4) -> list[int]:
    """Up to `count` numbers that divide `number`, those nearest to `divisor`, in ascending order; never 1."""
    divisors = [candidate for candidate in range(2, min(number, 4 * divisor + 8) + 1) if number % candidate == 0]
    return sorted(sorted(divisors, key=lambda candidate: abs(candidate - divisor))[:count])


def divisible(number: int, divisor: int, called: str, by: str) -> str | None:
    """What to write so that `number` divides by `divisor`, each by the name it has in the spec, or none for a literal.

    `770` by `12`: "width = 768, or heads = 7, 10, 11, 14".
    """
    if number <= 0 or divisor <= 0:
        return None
    offers = [f"{called} = {multiples_near(number, divisor)[0]}"]
    if divisors := divisors_near(number, divisor):
        offers.append(f"{by} = {', '.join(map(str, divisors))}")
    return ", or ".join(offers)
