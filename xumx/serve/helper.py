"""A process that looks into files of sound for the server, which opens none itself.

It answers one line of JSON with another. A file that ends it, or keeps it, costs one answer: the next
question starts another.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from xumx.base.errors import XumxError, line_of
from xumx.serve.child import begin

_LINE = 1 << 20


class Helper:
    """The server's end."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, what: str, timeout: float, **about: Any) -> Any:
        """Ask it to do one of :data:`TASKS`.

        Raises
        ------
        XumxError
            With what it says, or if it dies of the question or thinks for too long.
        """
        async with self._lock:
            try:
                answer = json.loads(await asyncio.wait_for(self._asked({"do": what, **about}), timeout))
            except (asyncio.TimeoutError, OSError, ValueError):
                await self.end()
                raise XumxError("the file cannot be read: it ends the program that looks into it") from None
        if "error" in answer:
            raise XumxError(answer["error"])
        return answer["found"]

    async def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _asked(self, question: dict[str, Any]) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "xumx.serve.helper"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                limit=_LINE,
            )
            self._process.stdin.write(b"{}\n")  # type: ignore[union-attr]
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(question).encode() + b"\n")
        await stdin.drain()
        return await stdout.readline()


def probe(path: str, track: int | None = None) -> dict[str, Any]:
    """What a file of sound says of itself: its ``seconds``, None if it does not tell."""
    from xumx.audio import probe

    return {"seconds": probe(path, stream=track).duration}


def sources(path: str) -> list[str]:
    """The stems of a network."""
    from xumx.network import weights

    return list(weights.load(Path(path)).config.sources)


def mix(stems: list[str], gains: list[float], target: str, options: dict[str, Any]) -> dict[str, Any]:
    """Write the weighted sum of files, at one gain less if it would be beyond full scale."""
    import numpy as np

    from xumx.audio import Writer, decode, probe

    chosen = [(path, gain) for path, gain in zip(stems, gains, strict=True) if gain] or [(stems[0], 0.0)]
    info = probe(stems[0])

    def sums() -> Any:
        for blocks in zip(*(decode(path) for path, _ in chosen)):
            samples = min(map(len, blocks))
            parts = (np.float32(gain) * b[:samples] for b, (_, gain) in zip(blocks, chosen))
            yield np.sum(list(parts), axis=0)

    peak = max((float(np.abs(block).max(initial=0)) for block in sums()), default=0.0)
    with Writer(target, info.sample_rate, info.channels, tags=info.tags, **options) as writer:
        for block in sums():
            writer.write(block / np.float32(max(peak, 1.0)))
    return {}


TASKS = {"probe": probe, "sources": sources, "mix": mix}


def main() -> None:
    _, answers = begin()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"found": TASKS[question.pop("do")](**question)}  # type: ignore[operator]
        except Exception as error:
            answer = {"error": line_of(error) if isinstance(error, (XumxError, OSError)) else "it is damaged"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
