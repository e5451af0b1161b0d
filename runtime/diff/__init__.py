"""What changed between two specs or runs."""
