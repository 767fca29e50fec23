"""`python -m bursar` is the `bursar` command."""

from bursar.cli import main

main()
