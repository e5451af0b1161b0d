"""How weights follow their gradients."""

from __future__ import annotations

from zoo.row import need, row
from zoo.workshop import Workshop

_RULES = {
    "sgd": "sgd(lr=1e-3)",
    "momentum": "sgd(lr=1e-3, momentum=0.9)",
    "nesterov": "sgd(lr=1e-3, momentum=0.9, nesterov=true)",
    "adagrad": "adagrad(lr=0.5)",
    "rmsprop": "rmsprop(lr=2e-3)",
    "adam": "adam(lr=0.02)",
    "adamw": "adamw(lr=0.02, weight_decay=0)",
    "lbfgs": "lbfgs(lr=1)",
}


@row(
    "optimise/optimisers",
    what="sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, L-BFGS, Newton on a ravine",
    asked="steps until f < 1e-3; Newton and L-BFGS need the fewest, momentum fewer than plain descent",
    data="none",
    epochs=20,
)
def optimisers(shop: Workshop) -> str:
    heights: dict[str, list[tuple[float, float]]] = {}
    for name, rule in _RULES.items():
        lines = shop.train("Descend", **{"settings.optimizer": rule}).history()
        heights[name] = [(line["step"], line["train"]["loss"]) for line in lines]
    heights["newton"] = [(line["step"], line["train"]["f"]) for line in shop.train("Newton").history()]
    shop.draw("f on the ravine", {name: _thinned(points) for name, points in heights.items()}, over="step", log=True)
    steps = {name: next((x for x, f in points if f < 1e-3), float("inf")) for name, points in heights.items()}
    told = ", ".join(f"{name} {count:g}" for name, count in steps.items())
    fewest = sorted(steps, key=lambda name: steps[name])[:2]
    return need(set(fewest) == {"newton", "lbfgs"} and steps["momentum"] < steps["sgd"], f"steps: {told}")


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Until f is low, and of what is left at most some hundred."""
    low = next((place for place, (_, f) in enumerate(points) if f < 1e-5), len(points))
    every = max(1, low // 150)
    return [point for place, point in enumerate(points[: low + 1]) if place < 50 or place % every == 0]


_SCHEDULES = {
    "constant": "constant()",
    "step": "step(every=5, factor=0.3)",
    "exponential": "exponential(factor=0.6)",
    "inverse": "inverse(scale=50)",
    "linear": "linear()",
    "cosine": "cosine(warmup=50)",
    "one_cycle": "one_cycle()",
}


@row(
    "optimise/schedules",
    what="step, exponential, 1/t, cosine, warm-up, one cycle",
    asked="every falling rate ends nearer to the optimum than a constant one",
    data="drawn",
)
def schedules(shop: Workshop) -> str:
    ends: dict[str, float] = {}
    rates: dict[str, list[tuple[float, float]]] = {}
    for name, rule in _SCHEDULES.items():
        lines = shop.train(**{"settings.schedule": rule}).history()
        ends[name] = lines[-1]["train"]["distance"]
        rates[name] = [(line["epoch"], line["lr"]) for line in lines]
    shop.draw("learning rate", rates, over="epoch")
    told = ", ".join(f"{name} {distance:.3f}" for name, distance in ends.items())
    worst = max(distance for name, distance in ends.items() if name != "constant")
    return need(worst < ends["constant"], f"squared distance at the end: {told}")


@row(
    "optimise/averaging",
    what="averaged iterates",
    asked="the mean of the weights lies nearer to the optimum than the last ones",
    data="drawn",
)
def averaging(shop: Workshop) -> str:
    mean, last = (shop.train(name).measure("test")["distance"] for name in ("Descend", "Last"))
    return need(mean < 0.5 * last, f"squared distance {mean:.4f} in the mean, {last:.4f} at the end")
