"""dlc: a compiler for deep-learning specs."""
