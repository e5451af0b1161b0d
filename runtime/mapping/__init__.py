"""Weights that another program wrote, under its own names and in its own layouts, as the weights of a model.

A mapping file tells line by line what becomes of each tensor: `parse` reads it, `match` holds it against the tensors
of a .safetensors file and the weights of a model, `load` makes the weights.
"""
