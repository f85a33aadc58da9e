"""``python -m cmrseg``."""

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command; Ctrl-C before it begins or after its end is as quiet as within."""
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if listens:
        signal.signal(signal.SIGINT, _end)
    from cmrseg.cli import main as command

    if listens:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(*_: object) -> NoReturn:
    """End at once: nothing has begun, and libraries that are being loaded make other errors of Ctrl-C."""
    sys.stderr.write("error: stopped\n")
    sys.stderr.flush()
    os._exit(130)


if __name__ == "__main__":
    main()
