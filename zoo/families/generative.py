"""Networks that draw images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.row import need, row
from zoo.workshop import Trained, Workshop

if TYPE_CHECKING:
    import numpy as np


@row(
    "generative/gan",
    what="two players",
    asked="both losses stay finite; samples; the discriminator within 0.1 of 0.5 on images and on fakes",
    data="digits",
)
def gan(shop: Workshop) -> str:
    import numpy as np

    trained = shop.train()
    losses = [value for line in trained.history() for name, value in line["train"].items() if name.startswith("loss")]
    measured = trained.measure("valid")
    like, spread = _resemblance(trained, trained.call("sample", n=256)["output"])
    reached = (
        f"{measured['real']:.2f} on images, {measured['fake']:.2f} on fakes; losses up to {max(losses):.2f}; "
        f"mean sample {like:.2f} correlated with the mean digit, spread {spread:.2f} of theirs"
    )
    even = max(abs(measured[name] - 0.5) for name in ("real", "fake"))
    return need(bool(np.isfinite(losses).all()) and even < 0.1 and like > 0.9 and 0.7 < spread < 1.3, reached)


@row(
    "generative/ddpm",
    what="closed-form forward process, noise prediction, the sampling loop",
    asked="the sampler, exported as one ONNX file, gives PyTorch's samples for the same noise",
    data="digits",
    small={"steps": 10, "last": 0.02, "width": 8},
)
def ddpm(shop: Workshop) -> str:
    trained = shop.train()
    sampler = next(export for export in shop.exports() if export.name == "sample")
    like, spread = _resemblance(trained, trained.call("sample", n=256)["output"])
    reached = (
        f"{sampler.difference or 0:.0e} apart after 200 steps; loss {trained.measure('valid')['loss']:.3f}; "
        f"mean sample {like:.2f} correlated with the mean digit, spread {spread:.2f} of theirs"
    )
    same = sampler.difference is not None and sampler.difference < 1e-3
    return need(same and like > 0.9 and 0.8 < spread < 1.2, reached)


def _resemblance(trained: Trained, samples: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The correlation of the samples' mean image with that of the data, and their deviations from it, as a part."""
    import numpy as np

    due = trained.fields("valid")["image"].numpy()
    like = np.corrcoef(samples.mean(0).ravel(), due.mean(0).ravel())[0, 1]
    return float(like), float(samples.std(0).mean() / due.std(0).mean())
