"""Small studies for tests."""

from __future__ import annotations

from pathlib import Path

from xumx.study.__main__ import main

_NETWORK = "--hidden-size 4 --nfft 256 --nhop 128 --nb-channels 1 --sources drums vocals"
_STEPS = (
    "--seq-dur 0.2 --samples-per-track 4 --batch-size 3 --epochs 1 --nb-workers 0 --fast --niter 0 --quiet"
)


def study(root: Path, output: Path, *changes: str) -> int:
    """The exit code of a study of seconds; changes come last and win."""
    return main(
        [
            "--root",
            str(root),
            "--is-wav",
            "--output",
            str(output),
            *_NETWORK.split(),
            *_STEPS.split(),
            *changes,
        ]
    )
