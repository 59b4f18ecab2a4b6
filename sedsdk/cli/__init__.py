"""The command line: one module per command, imported when its command is called.

Exit codes, the same for every command:

| code | meaning |
|---|---|
| 0 | done |
| 1 | a mistake or a lack that the message on stderr names |
| 2 | the command was called wrongly |
| 3 | some of the inputs failed, each named on stderr; the rest is done |
| 130 | interrupted from the keyboard |
| 141 | the reader of the output went away |
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141


def main() -> None:
    """Runs the `sedsdk` command on the process's arguments and leaves with its exit code."""
    from sedsdk.cli.application import application

    application(prog_name="sedsdk")
