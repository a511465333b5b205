"""The errors a user can mend. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class XumxError(Exception):
    """A run that failed: an unreadable file, weights that do not fit, a full disk.

    The commands print the message and end with ``exit_code``; no traceback reaches the user.
    """

    exit_code = 1


class UsageError(XumxError, ValueError):
    """An option or argument that cannot be right, whatever the files hold."""

    exit_code = 2


class AudioError(XumxError):
    """Audio that cannot be read, separated or written; the message names the file."""


class WeightsError(XumxError):
    """A weights file that is not one, or that does not hold one whole network."""


def listing(names: Iterable[str], most: int = 5) -> str:
    """Names in one line of a message, the rest of a long list as a number."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
