"""Linear models."""

from __future__ import annotations

import numpy as np

from zoo.row import need, row
from zoo.workshop import Workshop


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
