"""What a network takes of memory, for inference and for a step of training."""
