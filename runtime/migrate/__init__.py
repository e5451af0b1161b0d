"""The weights of a run carried to a changed spec."""
