"""The models that must work: each spec is trained, measured, exported, and compared with what it must show."""
