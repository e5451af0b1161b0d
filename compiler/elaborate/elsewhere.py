"""Words of other libraries and of Python, and what they are called here: for whoever writes them out of habit."""

from __future__ import annotations

# By the word in lower case and without underscores, so that `Conv2d` and `conv_2d` are one.
_NAMES = {
    "add": "+",
    "auc": "auroc",
    "avgpool2d": "avg_pool",
    "batchnorm1d": "batch_norm",
    "batchnorm2d": "batch_norm",
    "bceloss": "bce",
    "bcewithlogits": "bce",
    "bcewithlogitsloss": "bce",
    "binarycrossentropy": "bce",
    "binarycrossentropywithlogits": "bce",
    "bmm": "matmul",
    "cat": "concat",
    "clip": "clamp",
    "concatenate": "concat",
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "convtranspose2d": "conv_transpose",
    "crossentropyloss": "cross_entropy",
    "dense": "linear",
    "detach": "stop",
    "div": "/",
    "divide": "/",
    "false": "false",
    "full": "fill",
    "huberloss": "huber",
    "inv": "inverse",
    "kldiv": "kl_div",
    "l1loss": "mae",
    "l2normalize": "normalize",
    "matrixmultiply": "matmul",
    "maxpool2d": "max_pool",
    "meansquarederror": "mse",
    "mod": "%",
    "mseloss": "mse",
    "mul": "*",
    "multiply": "*",
    "neg": "-",
    "nllloss": "nll",
    "none": "none",
    "null": "none",
    "pow": "**",
    "power": "**",
    "rand": "uniform",
    "randn": "normal",
    "randnlike": "normal_like",
    "rocauc": "auroc",
    "stopgradient": "stop",
    "sub": "-",
    "subtract": "-",
    "swish": "silu",
    "true": "true",
    "view": "reshape",
}

_PARAMETERS = {
    "axis": "axes",
    "axes": "axis",
    "dim": "axis",
    "dims": "axes",
    "dimension": "axis",
    "embedding_dim": "width",
    "filters": "out",
    "keepdim": "keep",
    "keepdims": "keep",
    "kernel_size": "kernel",
    "label_smoothing": "smoothing",
    "learning_rate": "lr",
    "num_classes": "classes",
    "num_embeddings": "count",
    "num_groups": "groups",
    "out_channels": "out",
    "out_features": "out",
    "padding": "pad",
    "rate": "p",
    "units": "out",
    "warmup_steps": "warmup",
    "wd": "weight_decay",
}

_READ_FROM_TENSOR = frozenset({"in_channels", "in_features", "input_dim", "input_size", "num_features"})


def name_here(name: str) -> str | None:
    """What an operation, or a word such as `False`, is called here."""
    here = _NAMES.get(name.lower().replace("_", ""))
    return here if here != name else None


def parameter_here(name: str, known: list[str]) -> str | None:
    """The advice to whoever gives a parameter the name that it has elsewhere."""
    if name in _READ_FROM_TENSOR:
        return "leave it out: that size is read from the tensor that comes in"
    here = _PARAMETERS.get(name)
    return f"it is called `{here}` here" if here in known else None
