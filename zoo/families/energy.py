"""Networks with an energy."""

from __future__ import annotations

from zoo.row import need, row
from zoo.workshop import Workshop


@row(
    "energy/hopfield",
    what="Hebbian weights, asynchronous recall, energy",
    asked="energy never rises; recall ≥ 0.95 at load 0.1",
    data="drawn",
    small={"neurons": 30, "patterns": 3},
    epochs=1,
)
def hopfield(shop: Workshop) -> str:
    found = [shop.train(**{"settings.seed": seed}).history()[-1]["train"] for seed in range(5)]
    recall = sum(each["recall"] for each in found) / len(found)
    rise = max(each["rise"] for each in found)
    reached = f"recall {recall:.3f} over 5 draws, a tenth of the probe flipped; greatest change of energy {rise:.2g}"
    return need(recall >= 0.95 and rise <= 1e-3, reached)


@row(
    "energy/rbm",
    what="contrastive divergence, Gibbs sampling",
    asked="free energy of digits far below that of noise; samples",
    data="digits",
)
def rbm(shop: Workshop) -> str:
    trained = shop.train()
    measured = trained.measure("valid")
    lit = float(trained.call("sample", n=64)["output"].mean())
    gap = measured["noise"] - measured["energy"]
    reached = (
        f"free energy {gap:.0f} below noise; reconstruction {measured['reconstruction']:.3f}; {lit:.0%} of samples lit"
    )
    return need(gap > 20 and 0.2 < lit < 0.5, reached)
