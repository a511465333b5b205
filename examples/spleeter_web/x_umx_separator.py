"""X-UMX for Spleeter Web 4: put this file into api/separators/ of it; docs/spleeter-web.md tells the rest."""

import contextlib
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from api.models import OutputFormat
from api.util import is_output_format_lossy, output_format_to_ext

from xumx import Separator
from xumx.separation.naming import Output
from xumx.separation.song import separate_song

MODEL_DIR = Path("pretrained_models")


class XUMXSeparator:
    """Separates with X-UMX and networks like it, on any Python that xumx runs on, without NNabla.

    Parameters
    ----------
    cpu_separation : bool
        False takes a GPU where xumx finds one.
    output_format : int
        A value of ``api.models.OutputFormat``.
    softmask, alpha, iterations
        Of the Wiener filter; see :class:`xumx.Separator`.
    model : str or list of str
        Published networks by name; several separate as one.
    """

    def __init__(
        self,
        cpu_separation: bool = True,
        output_format: int = OutputFormat.MP3_256.value,
        softmask: bool = False,
        alpha: float = 1.0,
        iterations: int = 1,
        model: "str | list[str]" = "x-umx",
    ) -> None:
        bitrate = 1000 * output_format if is_output_format_lossy(output_format) else None
        self.extension = output_format_to_ext(output_format)
        self.output = Output(None, None, self.extension, bitrate, None, 44100, None)
        self.model = model
        self.options = {
            "context": "cpu" if cpu_separation else "auto",
            "softmask": softmask,
            "alpha": alpha if softmask else 1.0,  # the web page sends it without a soft mask too
            "niter": iterations,
            "model_dir": MODEL_DIR,
        }

    def create_static_mix(
        self, parts: Mapping[str, bool], input_path: str, output_path: "str | Path"
    ) -> None:
        """Write the sum of the parts to keep to one file.

        ``parts`` says of each part whether it stays, with parts that the networks do not separate among them.
        """
        kept = [name for name, stays in parts.items() if stays]
        separator = Separator(self.model, aggregate={"mix": kept}, **self.options)
        self._separate(separator, input_path, {"mix": Path(output_path)})

    def separate_into_parts(self, input_path: str, output_path: "str | Path") -> None:
        """Write each part to a file of its name in a folder."""
        separator = Separator(self.model, **self.options)
        paths = {stem: Path(output_path) / f"{stem}.{self.extension}" for stem in separator.stems}
        self._separate(separator, input_path, paths)

    def _separate(self, separator: Separator, song: str, paths: Mapping[str, Path]) -> None:
        with _file(song) as file:
            separate_song(separator, file, paths, self.output)


@contextlib.contextmanager
def _file(song: str) -> Iterator[Path]:
    """A song's file: storage elsewhere, such as S3, gives its address."""
    if not str(song).startswith(("http://", "https://")):
        yield Path(song)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song"
        with urllib.request.urlopen(song, timeout=60) as answer, open(path, "wb") as copy:
            shutil.copyfileobj(answer, copy, 1 << 20)
        yield path
