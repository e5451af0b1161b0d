"""Several processes that train together over `torch.distributed`, which is imported here alone."""
