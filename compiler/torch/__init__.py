"""The PyTorch target: graphs as Python source that a person would have written."""
