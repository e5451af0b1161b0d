"""Multi-layer perceptrons."""

from __future__ import annotations

from zoo.row import need, row
from zoo.workshop import Workshop


@row("mlp/xor", what="two hidden units", asked="all four right", data="drawn", epochs=20)
def xor(shop: Workshop) -> str:
    accuracy = shop.train().measure("train")["accuracy"]
    return need(accuracy == 1, f"{accuracy:.0%} of the corners")


@row(
    "mlp/classifier",
    what="dropout, batch norm, weight decay, smoothing, early stopping",
    asked="≥ 0.975 digits",
    data="digits",
)
def classifier(shop: Workshop) -> str:
    accuracy = shop.train().measure("test")["accuracy"]
    return need(accuracy >= 0.975, f"{accuracy:.3f}")


@row("mlp/approximator", what="one hidden layer fits a function", asked="error falls with width", data="drawn")
def approximator(shop: Workshop) -> str:
    errors = {width: shop.train(width=width).measure("valid")["loss"] for width in (2, 8, 32)}
    told = ", ".join(f"{width}: {error:.5f}" for width, error in errors.items())
    return need(list(errors.values()) == sorted(errors.values(), reverse=True), f"validation error by width {told}")


@row("mlp/ensemble", what="networks averaged, bagging", asked="better than their mean", data="digits")
def ensemble(shop: Workshop) -> str:
    measures = shop.train().measure("test")
    return need(
        measures["together"] > measures["alone"],
        f"accuracy {measures['together']:.3f}, each alone {measures['alone']:.3f} in the mean",
    )


@row(
    "mlp/double_descent",
    what="random features, minimum-norm solution, width swept",
    asked="test error peaks where parameters = examples (40)",
    data="drawn",
)
def double_descent(shop: Workshop) -> str:
    widths = (10, 20, 30, 35, 40, 45, 50, 60, 80, 120, 200, 400, 1000)
    errors = {width: shop.train(features=width).measure("test")["mse"] for width in widths}
    shop.draw("error", {"test": list(errors.items())}, over="features, for 40 examples", log=True)
    told = ", ".join(f"{width}: {error:.2f}" for width, error in errors.items())
    peak = max(errors, key=lambda width: errors[width])
    return need(peak == 40 and errors[1000] < min(errors[30], errors[60]), f"test error by features {told}")


@row(
    "mlp/tangent_kernel",
    what="the kernel J Jᵀ of a wide net; training it linearised",
    asked="predictions follow the net's",
    data="drawn",
    small={"width": 200},
)
def tangent_kernel(shop: Workshop) -> str:
    apart = {}
    for width in (100, 1000, 10000):
        measured = shop.train(width=width).history()[-1]["train"]
        apart[width] = measured["apart"]
    told = ", ".join(f"{width}: {error:.1e}" for width, error in apart.items())
    close = measured["apart"] < 0.01 * measured["start"]
    falls = list(apart.values()) == sorted(apart.values(), reverse=True)
    reached = f"squared distance by width {told}, of an error of {measured['start']:.2f} at the start"
    return need(close and falls and measured["network"] < 0.1 * measured["start"], reached)
