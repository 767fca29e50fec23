"""The command line: parses, opens, calls, prints. It decides nothing.

Human output goes to stdout as text, or as JSON with `--json`; progress and errors go to stderr.
This is the only layer that reads the clock, the environment and the terminal.
"""

from bursar.cli.app import main

__all__ = ["main"]
