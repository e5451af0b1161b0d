"""A module a family: what its specs must show."""
