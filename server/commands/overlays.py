"""Pictures with their class-activation maps over them, as JPEG files in a folder."""

from pathlib import Path

from PIL import Image

from model_zoo.decode import decode
from model_zoo.header import PictureLimits, read_header
from model_zoo.heat_map import map_box, overlay
from model_zoo.spec import InputSpec
from server.job import Answer

JPEG_QUALITY = 90


class Overlays:
    """Writes ``NAME.explained.jpg`` for a file called ``NAME.jpg``; a second one of a name gets a number."""

    def __init__(self, folder: Path, spec: InputSpec) -> None:
        """Make the folder where it is absent.

        Raises:
            OSError: it can't be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._spec = spec
        self._limits = PictureLimits()
        self._times: dict[str, int] = {}

    def write(self, file: Path, answer: Answer) -> Path | None:
        """Write one picture with its map; None when the answer has none.

        Raises:
            OSError: the picture can't be read any more, or the other one not be written.
            PictureError: the picture changed since it was classified.
        """
        if answer.class_activation is None:
            return None
        data = file.read_bytes()
        picture = decode(data, read_header(data, self._limits), colour="rgb")
        box = map_box(answer.width, answer.height, self._spec)
        target = self._folder / self._name(file)
        Image.fromarray(overlay(picture, answer.class_activation, box)).save(target, "JPEG", quality=JPEG_QUALITY)
        return target

    def _name(self, file: Path) -> str:
        count = self._times[file.stem] = self._times.get(file.stem, 0) + 1
        return f"{file.stem}.explained{'' if count == 1 else f'-{count}'}.jpg"
