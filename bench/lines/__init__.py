"""The same models in DL and in the PyTorch that a person would write: `python -m bench.lines` counts the lines."""
