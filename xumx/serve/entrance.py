"""From what a client sends to jobs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

from xumx.base.errors import UsageError, XumxError
from xumx.separation.options import SongOptions
from xumx.serve.choices import check_stems, display_name, parsed, plain, stored_name
from xumx.serve.events import record
from xumx.serve.helper import Helper
from xumx.serve.models import names_of
from xumx.serve.options import ServeOptions
from xumx.serve.perform import too_long
from xumx.serve.queues import Queue
from xumx.serve.store import Job, Store, new_id
from xumx.serve.upload import FULL, Refused, Upload, no_room

_PROBING = 20.0  # seconds that looking into a file may take


class Entrance:
    """Checks songs and enters them.

    Parameters
    ----------
    store : Store
    options : ServeOptions
    queue : Queue
    helper : Helper
        Looks into files.
    own : dict of str to str
        Files of the server's own models, by name.
    stems : dict of str to list of str
        Those of models, as far as they are known.
    """

    def __init__(
        self,
        store: Store,
        options: ServeOptions,
        queue: Queue,
        helper: Helper,
        own: dict[str, str],
        stems: dict[str, list[str]],
    ) -> None:
        self.store, self.options, self.queue = store, options, queue
        self._looking, self._own, self._stems = helper, own, stems
        self._adding = asyncio.Lock()

    def choices(self, fields: dict[str, list[str]]) -> dict[str, Any]:
        """The options of a form, as far as they can be checked before a network is loaded."""
        options = parsed(fields, self.options.model)
        for name in options["model"]:
            if name not in names_of(self._own):
                known = ", ".join(names_of(self._own))
                raise UsageError(f"unknown model {name[:100]!r}: this server has {known}")
            if name in self._stems:
                check_stems(SongOptions(**options), self._stems[name])
        return options

    def from_folder(self, path: str) -> Upload:
        """A copy of a song below ``--music-dir``, which may change or go while its turn has not come."""
        if self.options.music_dir is None:
            raise Refused(422, "path: this server was started without --music-dir; send the file itself")
        top = Path(self.options.music_dir).expanduser().resolve()
        lost = Refused(422, f"path: there is no song {path[:200]!r} in the music folder")
        try:
            song = (top / path).resolve(strict=True)
            size = song.stat().st_size
        except (OSError, ValueError, RuntimeError):
            raise lost from None
        if not song.is_relative_to(top) or not song.is_file():
            raise lost
        if size > self.options.max_upload:
            raise Refused(413, f"path: {song.name} is larger than this server takes")
        folder = self.store.incoming / os.urandom(16).hex()
        upload = Upload(display_name(song.name), folder, stored_name(song.name))
        try:
            folder.mkdir()
            with open(song, "rb") as source, open(folder / upload.file, "wb") as target:
                while block := source.read(1 << 20):
                    upload.size += target.write(block)
                    upload.digest.update(block)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise no_room() if error.errno in FULL else lost from None
        return upload

    async def add(self, upload: Upload, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Make a job of an upload: a status and a record, or why not."""
        path = str(upload.folder / upload.file)
        part = SongOptions(**options)
        try:
            if not upload.size:
                raise Refused(415, f"{upload.name}: is empty")
            about = await self._looking.ask("probe", _PROBING, path=path, track=part.audio_track)
            self._check_length(upload.name, about["seconds"], part)
        except Refused as error:
            return error.status, {"name": upload.name, "error": str(error)}
        except XumxError as error:
            return 415, {"name": upload.name, "error": plain(str(error), {path: upload.name})}
        upload.digest.update(json.dumps(options, sort_keys=True).encode())
        digest = upload.digest.hexdigest()
        async with self._adding:
            same = await asyncio.to_thread(self.store.same, digest)
            if same is not None:
                return 200, {**record(same), "again": True}
            job = Job(new_id(), upload.name, upload.file, options, digest, upload.size, about["seconds"])
            upload.folder.rename(self.store.place(job))
            await asyncio.to_thread(self.store.add, job)
        await asyncio.to_thread(self.queue.send, job)
        return 201, record(job)

    def _check_length(self, name: str, seconds: float | None, options: SongOptions) -> None:
        longest = self.options.max_duration
        if seconds is None:
            return
        if options.start >= seconds:
            raise Refused(422, f"{name}: start {options.start:g} lies beyond its end at {seconds:.2f} s")
        rest = min(seconds - options.start, options.duration or seconds)
        if rest > longest:
            raise Refused(413, f"{name}: {too_long(rest, longest)}")
