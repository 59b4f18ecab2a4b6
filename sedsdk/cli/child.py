"""`python -m sedsdk.cli.child ARGUMENTS`: a `sedsdk` command that another process has started.

It is interrupted, as by Ctrl-C, when its standard input ends: when that process closes it, or is
gone, even if it was killed.
"""

from __future__ import annotations

import os
import signal
import threading

from sedsdk.cli import main


def end_with_standard_input() -> None:
    """Lets this process be interrupted when its standard input ends.

    A shell starts what it puts into the background with interrupts ignored, children included, so
    Python's own handling is put back first.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_interrupt_at_end_of_input, daemon=True).start()


def _interrupt_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    end_with_standard_input()
    main()
