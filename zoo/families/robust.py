"""Attacks on networks, and networks that withstand them."""

from __future__ import annotations

from zoo.row import need, row
from zoo.workshop import Workshop


def _attacked(shop: Workshop) -> str:
    """Accuracies of a network and of one that was trained on attacks, by themselves and attacked."""
    plain = shop.train("Plain").measure("test")
    hardened = shop.train("Hardened").measure("test")
    reached = (
        f"accuracy {plain['accuracy']:.3f}, attacked {plain['attacked']:.3f}; taken for a given other "
        f"{plain['mistaken']:.3f}, attacked {plain['fooled']:.3f}; "
        f"trained on attacks {hardened['accuracy']:.3f}, attacked {hardened['attacked']:.3f}"
    )
    lowers = plain["attacked"] < plain["accuracy"] - 0.2 and plain["fooled"] > plain["mistaken"] + 0.1
    return need(lowers and hardened["attacked"] > plain["attacked"] + 0.1, reached)


for spec, what in (
    ("robust/fgsm", "one step along the sign of the gradient, targeted and not; training on such images"),
    ("robust/pgd", "many small steps within a box, targeted and not; training on nothing else"),
):
    row(
        spec,
        what=what,
        asked="attacks lower accuracy; who trained on them withstands more",
        data="digits",
        small={"width": 4},
    )(_attacked)


@row(
    "robust/trades",
    what="a price on answering otherwise nearby",
    asked="≥ 2x the robust accuracy",
    data="digits",
    small={"width": 4},
)
def trades(shop: Workshop) -> str:
    plain, robust = (shop.train(name).measure("test") for name in ("Plain", "Robust"))
    reached = (
        f"robust accuracy {robust['robust']:.3f} against {plain['robust']:.3f}; "
        f"accuracy {robust['accuracy']:.3f} against {plain['accuracy']:.3f}"
    )
    return need(robust["robust"] >= 2 * plain["robust"] and robust["accuracy"] > 0.9, reached)
