"""What the processes that a server starts have in common: they get orders on stdin, and end with it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, TextIO


def begin() -> tuple[dict[str, Any], TextIO]:
    """Begin as a child: what the parent has written as the first line, and the stream to answer on.

    Whatever else is printed goes to stderr.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent gets it too, and ends this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return json.loads(sys.stdin.readline()), answers


def end_with_parent() -> None:
    """End this process when the parent does, however that ends: its end of the pipe is closed then."""

    def wait() -> None:
        while sys.stdin.readline():
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
