"""Autoencoders."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from zoo.row import need, row
from zoo.workshop import Trained, Workshop

Array = np.ndarray[Any, Any]


@row(
    "autoencoder/pca",
    what="singular values, a linear autoencoder, and one with tied weights",
    asked="the same subspace, angle < 0.05",
    data="digits",
    small={"latent": 2},
)
def pca(shop: Workshop) -> str:
    from scipy.linalg import subspace_angles

    closed, mirrored, descent = (shop.train(name) for name in ("Closed", "Mirrored", "Descent"))
    due = closed.weights()["W"]
    known = _components(closed, due.shape[1]).components_.T
    found = {
        "scikit-learn's": known,
        "tied": mirrored.weights()["W"],
        "linear": descent.weights()["linear.weight"],
    }
    angles = {name: float(subspace_angles(due, W).max()) for name, W in found.items()}
    return need(max(angles.values()) < 0.05, ", ".join(f"{name} {angle:.4f}" for name, angle in angles.items()))


@row(
    "autoencoder/sparse",
    what="more units than pixels, few of them at a time: the strongest are kept, or each has a price",
    asked="reconstruction of k units beats PCA of k components; a higher price, fewer units",
    data="digits",
)
def sparse(shop: Workshop) -> str:
    kept = shop.train("Kept")
    runs = {strength: shop.train("Priced", strength=strength) for strength in (0.03, 0.06, 0.12)}
    told = [_beats(kept, kept.measure("valid")["mse"], 12, "12 units kept: ")]
    fewer: list[float] = []
    for strength, run in runs.items():
        found = run.measure("valid")
        fewer.append(found["active"])
        told.append(_beats(run, found["mse"], ceil(fewer[-1]), f"a price of {strength} leaves {fewer[-1]:.1f}: "))
    return need(fewer == sorted(fewer, reverse=True), "; ".join(told))


@row(
    "autoencoder/contractive",
    what="a price on the encoder's Jacobian",
    asked="reconstruction beats PCA of the same size; the code changes less than without the price",
    data="digits",
)
def contractive(shop: Workshop) -> str:
    free = shop.train(strength=0).measure("valid")["jacobian"]
    trained = shop.train()
    measured = trained.measure("valid")
    told = f"squared Jacobian {measured['jacobian']:.2f}, without the price {free:.2f}; "
    need(measured["jacobian"] < free, told)
    return _beats(trained, measured["mse"], 12, told)


@row(
    "autoencoder/denoising",
    what="rebuilds the clean image from a corrupted one",
    asked="reconstruction beats PCA of the same size",
    data="digits",
)
def denoising(shop: Workshop) -> str:
    trained = shop.train()
    return _beats(trained, trained.measure("valid")["mse"], 12, given="corrupted")


@row(
    "autoencoder/masked",
    what="a transformer reads some patches and rebuilds the others",
    asked="the hidden patches are closer than what the best PCA makes of the visible ones",
    data="digits",
    small={"width": 16, "depth": 1},
)
def masked(shop: Workshop) -> str:
    trained = shop.train()
    error = trained.measure("valid")["mse"]
    visible = 8
    errors = {size: _filled(trained, size, visible) for size in (2, 4, 6, 8, 12, 16)}
    size = min(errors, key=lambda size: errors[size])
    reached = f"error {error:.4f} at the hidden pixels; the best PCA, of {size} components, {errors[size]:.4f}"
    return need(error < errors[size], reached)


@row(
    "autoencoder/stacked",
    what="greedy layer-wise pre-training, then all together",
    asked="reconstruction beats PCA of the same size",
    data="digits",
)
def stacked(shop: Workshop) -> str:
    shop.train("First")
    shop.train("Second")
    whole = shop.train("Whole")
    started = whole.history()[0]["train"]["mse"]
    return _beats(whole, whole.measure("valid")["mse"], 12, f"{started:.4f} in the first epoch after pre-training; ")


@row(
    "autoencoder/vae",
    what="ELBO, β, Gaussian and Bernoulli decoders",
    asked="the ELBO rises; samples",
    data="digits",
)
def vae(shop: Workshop) -> str:
    told: list[str] = []
    held = True
    for decoder in ("true", "false"):
        trained = shop.train(bernoulli=decoder)
        bounds = [line["valid"]["elbo"] for line in trained.history()]
        samples = trained.call("sample", n=64)["output"]
        data = trained.fields("train")["x"].numpy()
        held = held and bounds[-1] > max(bounds[: len(bounds) // 4])
        held = held and bool(np.isfinite(samples).all()) and abs(samples.mean() - data.mean()) < 0.05
        name = "Bernoulli" if decoder == "true" else "Gaussian"
        told.append(f"{name}: ELBO from {bounds[0]:.1f} to {bounds[-1]:.1f}, samples' mean {samples.mean():.2f}")
    cheap = shop.train(beta=0.25).measure("valid")["divergence"]
    free = shop.trainings[0].measure("valid")["divergence"]
    told.append(f"divergence {free:.1f} at β = 1, {cheap:.1f} at β = 0.25")
    return need(held and cheap > free, f"{'; '.join(told)}; the data's mean {data.mean():.2f}")


def _components(trained: Trained, count: int) -> Any:
    """scikit-learn's principal components of the training part."""
    from sklearn.decomposition import PCA

    return PCA(count, svd_solver="full").fit(trained.fields("train")["x"].numpy())


def _beats(trained: Trained, error: float, count: int, told: str = "", given: str = "x") -> str:
    """What was reached, where the error is below that of PCA with so many components on the validation part.

    given: the field that it is given.
    """
    fields = trained.fields("valid")
    pca = _components(trained, count)
    rebuilt = pca.inverse_transform(pca.transform(fields[given].numpy()))
    due = float(((rebuilt - fields["x"].numpy()) ** 2).mean())
    return need(error < due, f"{told}error {error:.4f}, PCA of {count} components {due:.4f}")


def _filled(trained: Trained, count: int, visible: int) -> float:
    """The squared error at hidden pixels of the principal components that fit the visible ones best."""
    from sklearn.decomposition import PCA

    pca = PCA(count).fit(trained.fields("train")["image"].numpy().reshape(-1, 64))
    fields = trained.fields("valid")
    images = fields["image"].numpy().reshape(-1, 64)
    total, pixels = 0.0, 0
    for image, order in zip(images, fields["order"].numpy(), strict=True):
        seen = np.zeros((4, 4), bool)
        seen.flat[order[:visible]] = True
        mask = seen.repeat(2, 0).repeat(2, 1).reshape(64)
        code = np.linalg.lstsq(pca.components_[:, mask].T, (image - pca.mean_)[mask])[0]
        rebuilt = pca.mean_ + code @ pca.components_
        total += float(((rebuilt - image)[~mask] ** 2).sum())
        pixels += int((~mask).sum())
    return total / pixels
