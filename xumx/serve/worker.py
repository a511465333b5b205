"""``python -m xumx.serve.worker``: separates songs for a server on another machine."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Sequence

from xumx.base import log
from xumx.base.cli import run
from xumx.base.console import say
from xumx.base.errors import UsageError, XumxError, install
from xumx.serve.options import WorkerOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Work as ``argv`` says until a signal ends it; 1 if it cannot, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    options = WorkerOptions.parse(argv)
    if importlib.util.find_spec("dramatiq") is None or importlib.util.find_spec("redis") is None:
        raise XumxError(f"workers of other machines need Dramatiq and Redis: {install('broker')}")
    from xumx.serve.broker import connect
    from xumx.serve.models import order, own_models
    from xumx.serve.supervisor import Supervisor

    if options.quiet:
        log.only_errors()
    if not (options.place / "jobs").is_dir():
        raise UsageError(f"folder {options.place}: it is no folder of a server's; is it mounted?")
    assert options.broker is not None
    connect(options.broker).close()  # that it is there
    told = {**order(options, own_models(options), options.max_duration), "broker": options.broker}
    if not options.quiet:
        say(f"waiting for songs, {options.workers} at a time; Ctrl-C ends it")
    with Supervisor("xumx.serve.remote", told, options.workers):
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
