"""Ctrl-C ends a command soon, whatever it is doing."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Self

from cmrseg.parallel import end_workers

CODE = 130  # of a shell, for what Ctrl-C ended
_GRACE_S = 1.0  # to leave in good order
_PATIENCE_S = 10.0  # where nobody waits at a keyboard
_LAST_S = 0.3  # to remove temporary files on the way out


class Interrupts:
    """Ctrl-C raises KeyboardInterrupt within; what does not listen to it is ended a moment later.

    Python raises it between two of its own steps: one call of a library can take minutes, and a library can
    swallow it. A thread hears the signal meanwhile.

    Parameters
    ----------
    say
        Says that the command was stopped; called once.

    Attributes
    ----------
    heard
        Whether there was a Ctrl-C.
    """

    def __init__(self, say: Callable[[], None]) -> None:
        self.heard = False
        self._say, self._once, self._left = say, threading.Lock(), threading.Event()

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        # A shell has commands in the background ignore Ctrl-C.
        self._active = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._active:
            self._hears, self._tells = os.pipe()
            os.set_blocking(self._tells, False)
            self._wakeup = signal.set_wakeup_fd(self._tells, warn_on_full_buffer=False)
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._tell_unraisable
            self._watch = threading.Thread(target=self._end_late, name="Ctrl-C", daemon=True)
            self._watch.start()
            signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.set_wakeup_fd(self._wakeup)
            sys.unraisablehook = self._unraisable
            self._left.set()
            os.close(self._tells)
            self._watch.join()
            os.close(self._hears)

    def stopped(self) -> NoReturn:
        """Say that the command was stopped, and end it."""
        if self._once.acquire(blocking=False):
            self._say()
        if self.heard:
            end_workers()
            _end(CODE)
        leave(CODE)

    def _stop(self, *_: object) -> NoReturn:
        """Ctrl-C; a second one changes nothing."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.heard = True
        raise KeyboardInterrupt

    def _end_late(self) -> None:
        """Wait for Ctrl-C, and end the process if it is still here a moment later."""
        while told := os.read(self._hears, 1):
            if told[0] == signal.SIGINT and not self._left.wait(_GRACE_S):
                end_workers()
                if self._once.acquire(blocking=False):
                    self._say()
                _end(CODE)

    def _tell_unraisable(self, error: Any) -> None:
        """What cannot be raised is told, unless it is a Ctrl-C: then the thread ends the process."""
        if not issubclass(error.exc_type, KeyboardInterrupt):
            self._unraisable(error)


def leave(code: int) -> NoReturn:
    """End this process with its workers; threads within a library would break an orderly end."""
    if end_workers(_PATIENCE_S):
        sys.exit(code)
    _end(code)


def _end(code: int) -> NoReturn:
    """End at once, with what was said on its way and temporary files removed."""
    late = threading.Timer(_LAST_S, os._exit, (code,))
    late.daemon = True
    late.start()
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
