"""`python -m dlc`: the command line."""

from dlc.runtime.cli import main

main()
