"""The mappings that come with the specs, on files with the names that transformers gives, old ones and new."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dlc.runtime.mapping.load import Loaded, load_weights
from dlc.runtime.spec import read_checked

SEQUENCE = Path(__file__).parents[2] / "specs" / "sequence"
D, VOCAB, CONTEXT = 8, 11, 6
Shapes = dict[str, tuple[int, ...]]


def dense(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str, old: bool = False) -> Shapes:
    return {f"{name}.{part}": (D,) for part in (("gamma", "beta") if old else ("weight", "bias"))}


def conv1d(name: str, into: int, out: int) -> Shapes:
    return {f"{name}.weight": (into, out), f"{name}.bias": (out,)}


GPT2: Shapes = {
    "wte.weight": (VOCAB, D),
    "wpe.weight": (CONTEXT, D),
    **norm("h.0.ln_1"),
    **conv1d("h.0.attn.c_attn", D, 3 * D),
    **conv1d("h.0.attn.c_proj", D, D),
    **norm("h.0.ln_2"),
    **conv1d("h.0.mlp.c_fc", D, 4 * D),
    **conv1d("h.0.mlp.c_proj", 4 * D, D),
    **norm("ln_f"),
}
MASKS: Shapes = {"h.0.attn.bias": (1, 1, CONTEXT, CONTEXT), "h.0.attn.masked_bias": ()}


def bert(old: bool = False) -> Shapes:
    layer = "encoder.layer.0"
    return {
        "embeddings.word_embeddings.weight": (VOCAB, D),
        "embeddings.position_embeddings.weight": (CONTEXT, D),
        "embeddings.token_type_embeddings.weight": (2, D),
        **norm("embeddings.LayerNorm", old),
        **{
            name: shape
            for part in ("query", "key", "value")
            for name, shape in dense(f"{layer}.attention.self.{part}", D, D).items()
        },
        **dense(f"{layer}.attention.output.dense", D, D),
        **norm(f"{layer}.attention.output.LayerNorm", old),
        **dense(f"{layer}.intermediate.dense", 4 * D, D),
        **dense(f"{layer}.output.dense", D, 4 * D),
        **norm(f"{layer}.output.LayerNorm", old),
        **dense("pooler.dense", D, D),
    }


def heads(old: bool = False) -> Shapes:
    return {
        "cls.predictions.bias": (VOCAB,),
        **dense("cls.predictions.transform.dense", D, D),
        **norm("cls.predictions.transform.LayerNorm", old),
        **dense("cls.seq_relationship", 2, D),
    }


def behind(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


CASES = {
    "GPT2LMHeadModel": ("gpt2", "GPT2", behind("transformer.", GPT2), {}, 0),
    "GPT2Model of an old file": ("gpt2", "GPT2", GPT2 | MASKS, {}, 2),
    "GPT2LMHeadModel, tied": (
        "gpt2",
        "GPT2",
        behind("transformer.", GPT2),
        {"lm_head.weight": "transformer.wte.weight"},
        0,
    ),
    "BertModel": ("bert", "BERT", bert(), {}, 0),
    "BertModel with positions": ("bert", "BERT", bert() | {"embeddings.position_ids": (1, CONTEXT)}, {}, 1),
    "BertForPreTraining as BERT": ("bert", "BERT", behind("bert.", bert()) | heads(), {}, 7),
    "BertForPreTraining": ("bert", "Pretraining", behind("bert.", bert()) | heads(), {}, 0),
    "BertForPreTraining of an old file": (
        "bert",
        "Pretraining",
        behind("bert.", bert(old=True)) | heads(old=True),
        {
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        0,
    ),
}


def load(folder: Path, spec: str, model: str, tensors: dict[str, np.ndarray]) -> Loaded:
    small = {"vocab": VOCAB, "width": D, "depth": 1, "heads": 2, "context": CONTEXT}
    models = read_checked(SEQUENCE / f"{spec}.dl", {name: str(value) for name, value in small.items()}).models
    save_file(tensors, folder / "theirs.safetensors")
    return load_weights(models[model], folder / "theirs.safetensors", SEQUENCE / f"{spec}.map", models=models)


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_and_every_weight_has_its_place(case: str, tmp_path: Path) -> None:
    spec, model, shapes, tied, ignored = CASES[case]
    random = np.random.default_rng(0)
    tensors = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    loaded = load(tmp_path, spec, model, tensors | {name: tensors[other].copy() for name, other in tied.items()})
    assert (loaded.used, len(loaded.ignored), len(loaded.again)) == (len(shapes) - ignored, ignored, len(tied))
    theirs = sorted(float(np.sort(tensors[name].ravel()).sum()) for name in shapes if name not in loaded.ignored)
    ours = sorted(float(np.sort(array.ravel()).sum()) for array in loaded.weights.values())
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
