"""``python -m xumx.serve``: the web application."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from xumx.base.cli import run
from xumx.base.errors import XumxError, install
from xumx.serve.options import ServeOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Serve as ``argv`` says until a signal ends it; 1 if it cannot, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    options = ServeOptions.parse(argv)
    for package in ("starlette", "uvicorn", "python_multipart"):
        if importlib.util.find_spec(package) is None:
            raise XumxError(f"the web application needs {package}: {install('serve')}")
    from xumx.serve.server import serve

    return serve(options)


if __name__ == "__main__":
    sys.exit(main())
