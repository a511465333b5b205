"""Call commands of xumx as on Windows, as far as that can be had on Linux.

The argument is a JSON list of the arguments of each command. Of what xumx imports, and nobody else,

- what Windows lacks of modules, functions and signals is missing, sys.platform and os.name are its own;
- reading or writing text without naming its encoding is an error.

For everybody, a file that is open or mapped cannot be removed, moved or replaced, and there is no /dev/stdin.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

MODULES = {
    "curses",
    "fcntl",
    "grp",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "syslog",
    "termios",
    "tty",
}

OF_OS = set(
    """
    chown chroot confstr copy_file_range ctermid eventfd fchmod fchown fdatasync fork forkpty fpathconf
    fstatvfs getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getresuid getsid getuid
    initgroups killpg lchown lockf login_tty major makedev memfd_create minor mkfifo mknod nice openpty
    pathconf pipe2 posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev register_at_fork
    sched_getaffinity sched_setaffinity sched_yield sendfile setegid seteuid setgid setgroups setpgid
    setpriority setregid setsid setuid splice statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname
    wait wait3 wait4 waitid O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC WNOHANG
    """.split()  # noqa: SIM905
)

OF_SIGNAL = {
    *("alarm", "getitimer", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt"),
    *("sigpending", "sigtimedwait", "sigwait", "sigwaitinfo"),
    *(name for name in vars(signal) if name.startswith("SIG") and "_" not in name),
} - {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}


class Without:
    """A module, less some names, and with other values for some."""

    def __init__(self, module: ModuleType, hidden: set[str], **other: Any) -> None:
        vars(self).update(_module=module, _hidden=hidden, **other)

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def hide() -> None:
    """Give xumx what Windows has."""
    plain = builtins.__import__
    others = {
        "os": Without(os, OF_OS, name="nt"),
        "signal": Without(signal, OF_SIGNAL),
        "sys": Without(sys, {"abiflags"}, platform="win32"),
    }

    def importing(name: str, globals: Any = None, *rest: Any, **named: Any) -> Any:
        if str((globals or {}).get("__name__")).startswith("xumx"):
            if name.partition(".")[0] in MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in others:
                return others[name]
        return plain(name, globals, *rest, **named)

    builtins.__import__ = importing


def hold() -> None:
    """Let files that this process has open refuse to go or to be replaced."""

    def guarded(function: Callable[..., Any], count: int) -> Callable[..., Any]:
        def call(*args: Any, dir_fd: int | None = None, **rest: Any) -> Any:
            for path in args[:count]:
                folder = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
                if os.path.join(folder, os.fsdecode(path)) in in_use():
                    raise PermissionError(13, "the file is in use", os.fsdecode(path))
            return function(*args, **rest, **({} if dir_fd is None else {"dir_fd": dir_fd}))

        return call

    for name, count in (("remove", 1), ("unlink", 1), ("rename", 2), ("replace", 2)):
        setattr(os, name, guarded(getattr(os, name), count))


def lose(place: str) -> None:
    """Let nothing be there."""

    def without(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **rest: Any) -> Any:
            if not isinstance(path, int) and os.fsdecode(path) == place:
                raise FileNotFoundError(2, "No such file or directory", place)
            return function(path, *args, **rest)

        return call

    for module, name in ((os, "stat"), (os, "open"), (builtins, "open")):
        setattr(module, name, without(getattr(module, name)))


def in_use() -> set[str]:
    """Files that this process has open or mapped."""
    held = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            held.add(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # that of the list itself
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        rows = [line.rstrip("\n").split(maxsplit=5) for line in maps]
    return held | {row[5] for row in rows if len(row) == 6}


def main() -> int:
    """Call the commands in turn; the code of the first that fails, or 0."""
    commands = json.loads(sys.argv[1])
    hide()
    hold()
    lose("/dev/stdin")
    warnings.filterwarnings("error", category=EncodingWarning, module="xumx")
    from xumx.__main__ import main as xumx

    for argv in commands:
        try:
            code = xumx(argv)
        except SystemExit as stop:
            code = int(str(stop.code))
        if code:
            print(f"{argv}: {code}", file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
