"""Names in the emitted source: those of the spec wherever Python and `torch.nn.Module` leave them free."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container

from dlc.compiler.naming import singular

# What emitted code calls by name. A variable of that name would hide it.
_CALLED = "self torch nn F Tensor math range len min max sum zip super int float bool tuple dict list ValueError"
# Functions that operations ask for, at the top of the file.
_DEFINED = """
    alibi_bias apply_rope auroc_score bleu_score class_counts cut_mix f1_score gaussian_divergence gru_states gru_step
    in_box iou_score lstm_states lstm_step macro_average mix_up ngram_counts of_batch pick_index precision_score
    r2_parts r2_score random_erase random_window recall_score rnn_sum run_recurrent segment_max segment_mean
    segment_softmax segment_sum sinusoid_table
"""
RESERVED = frozenset(f"{_CALLED} {_DEFINED}".split())

# The attributes of torch.nn.Module: a part of that name is not reached by attribute access.
_ATTRIBUTES = """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
    extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules
    mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule
    share_memory state_dict to to_empty train training type xpu zero_grad
"""
MODULE_ATTRIBUTES = frozenset(_ATTRIBUTES.split())


def identifier(name: str) -> str:
    """The name, made one that Python takes as a variable: `x'` becomes `x_prime`, `lambda` becomes `lambda_`, and the
    item `b[0]` of a list `b0`."""
    plain = re.sub(r"\W", "_", re.sub(r"\[(\d+)\]", r"\1", name.replace("'", "_prime")))
    if not plain or plain[0].isdigit() or plain.startswith("__") or plain == "_":  # which is what nobody uses
        plain = f"v{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) or plain in RESERVED else plain


def unused(name: str, taken: Container[str], separator: str = "") -> str:
    """The name itself, or the first of `name2`, `name3`, … that is free."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}{separator}{count}"
    return free


def is_attribute(name: str) -> bool:
    """Whether a part of a module can be reached as `module.name`, and so bears its name in the state dict."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in MODULE_ATTRIBUTES and name[:1] != "_"


def snake(name: str) -> str:
    """The name of a block as that of a function: `GibbsStep` becomes `gibbs_step`."""
    return identifier(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def item_name(name: str) -> str:
    """What a loop calls one item of a list of modules: `layers` gives `layer`."""
    return identifier(singular(name) or "layer")
