"""Tests run beside each other, and so their threads wait as those of the command line do."""

import os

from dlc.runtime.cli import SPINS

for name, value in SPINS.items():
    os.environ.setdefault(name, value)
