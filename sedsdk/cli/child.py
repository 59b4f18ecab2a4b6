"""`python -m sedsdk.cli.child ARGUMENTS`: a `sedsdk` command that another process has started.

It is interrupted, as by Ctrl-C, when its standard input ends: when that process closes it, or is
gone, even if it was killed.
"""

from __future__ import annotations

import os
import signal
import threading

from sedsdk.cli import main


def interrupt_at_end_of_input() -> None:
    """Waits for the end of standard input and interrupts this process."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    threading.Thread(target=interrupt_at_end_of_input, daemon=True).start()
    main()
