"""Linear models."""

from __future__ import annotations

import numpy as np

from zoo.row import need, row
from zoo.workshop import Workshop


@row(
    "linear/linear_regression",
    what="closed form, full-batch and stochastic descent, one model",
    asked="closed form = NumPy's `lstsq` to 1e-5; descent within 1 % of its error",
    data="diabetes",
)
def linear_regression(shop: Workshop) -> str:
    closed, descent, stochastic = (shop.train(name) for name in ("Closed", "Descent", "Stochastic"))
    fields = closed.fields("train")
    columns = np.column_stack([fields["x"].numpy(), np.ones(len(fields["y"]))])
    due = np.linalg.lstsq(columns, fields["y"].numpy())[0]
    far = np.abs(np.append(closed.weights()["w"], closed.weights()["b"]) - due).max()
    least = closed.measure("train")["mse"]
    above = {run: run.measure("train")["mse"] / least - 1 for run in (descent, stochastic)}
    reached = f"{far:.0e} from lstsq; descent {above[descent]:.2%} above its error, stochastic {above[stochastic]:.2%}"
    return need(far < 1e-5 and max(above.values()) < 0.01, reached)


@row(
    "linear/ridge",
    what="closed form, descent with weight decay, MAP with a Gaussian prior",
    asked="= scikit-learn's Ridge to 1e-4",
    data="diabetes",
)
def ridge(shop: Workshop) -> str:
    from sklearn.linear_model import Ridge

    runs = {name: shop.train(name) for name in ("Closed", "Descent", "MAP")}
    fields = runs["Closed"].fields("train")
    due = Ridge(alpha=10.0, fit_intercept=False).fit(fields["x"].numpy(), fields["y"].numpy()).coef_
    far = {name: float(np.abs(run.weights()["w"] - due).max()) for name, run in runs.items()}
    told = ", ".join(f"{name} {distance:.0e}" for name, distance in far.items())
    return need(
        max(far.values()) < 1e-4, f"from scikit-learn's: {told}; test r2 {runs['MAP'].measure('test')['r2']:.3f}"
    )


@row(
    "linear/lasso",
    what="L1, and a penalty of groups, by proximal descent",
    asked="weights at zero grow with the strength; = scikit-learn's Lasso to 1e-3",
    data="diabetes",
)
def lasso(shop: Workshop) -> str:
    from sklearn.linear_model import Lasso

    strengths = (0.01, 0.1, 0.4)
    zeros: dict[str, list[int]] = {}
    far = 0.0
    for name in ("Lasso", "Grouped"):
        for strength in strengths:
            run = shop.train(name, strength=strength)
            found = run.weights()["w"]
            zeros.setdefault(name, []).append(int((found == 0).sum()))
            if name == "Lasso":
                fields = run.fields("train")
                fit = Lasso(alpha=strength, fit_intercept=False, tol=1e-8, max_iter=10000)
                due = fit.fit(fields["x"].numpy(), fields["y"].numpy()).coef_
                far = max(far, float(np.abs(found - due).max()))
    grows = all(counts == sorted(counts) and counts[0] < counts[-1] for counts in zeros.values())
    reached = f"zeros at {strengths}: lasso {zeros['Lasso']}, groups {zeros['Grouped']}; {far:.0e} from scikit-learn's"
    return need(grows and far < 1e-3, reached)


@row(
    "linear/polynomial",
    what="feature map of degree m; the degree chosen on validation",
    asked="the chosen degree is the generating one, 3",
    data="drawn",
)
def polynomial(shop: Workshop) -> str:
    errors = {degree: shop.train(degree=degree).measure("valid")["mse"] for degree in range(1, 9)}
    chosen = min(errors, key=lambda degree: errors[degree])
    told = ", ".join(f"{degree}: {error:.4f}" for degree, error in errors.items())
    return need(chosen == 3, f"degree {chosen}; validation errors {told}")


@row(
    "linear/perceptron",
    what="mistake-driven updates, binary and of several classes",
    asked="no mistakes on separable iris; ≥ 0.90 on digits; XOR stays at ≤ 0.75",
    data="iris, digits, drawn",
    epochs=1,
)
def perceptron(shop: Workshop) -> str:
    binary = shop.train("Binary").measure("train")["accuracy"]
    classes = shop.train("Multiclass").measure("test")["accuracy"]
    exclusive = shop.train("Exclusive").measure("train")["accuracy"]
    reached = f"iris {binary:.3f}, digits {classes:.3f}, XOR {exclusive:.3f}"
    return need(binary == 1 and classes >= 0.9 and exclusive <= 0.75, reached)


@row(
    "linear/logistic",
    what="the odds' logarithm is linear; cross-entropy by gradient descent",
    asked="≥ 0.96 breast cancer",
    data="breast cancer",
)
def logistic(shop: Workshop) -> str:
    accuracy = shop.train().measure("test")["accuracy"]
    return need(accuracy >= 0.96, f"{accuracy:.3f}")


@row(
    "linear/softmax_regression",
    what="cross-entropy by gradient descent",
    asked="≥ 0.95 digits",
    data="digits",
)
def softmax_regression(shop: Workshop) -> str:
    accuracy = shop.train().measure("test")["accuracy"]
    return need(accuracy >= 0.95, f"{accuracy:.3f}")
