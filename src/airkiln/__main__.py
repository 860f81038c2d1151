"""`python -m airkiln`."""

from airkiln.cli import main

main()
