"""From syntax tree to checked graphs to PyTorch and ONNX. Knows nothing of files, terminals or devices."""
