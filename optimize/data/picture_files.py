"""Pictures in files, decoded by the code that serves: any format it takes, EXIF applied."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from model_zoo.decode import decode
from model_zoo.errors import PictureError
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from optimize.data.dataset import Pixels
from optimize.data.fitting import SpecFor
from optimize.errors import DataError

# One's own photos, not a stranger's uploads: the largest cameras' files pass, a bomb does not.
LIMITS = PictureLimits(max_bytes=512 * 2**20, max_pixels=150_000_000)


@dataclass(frozen=True, slots=True)
class FilePictures:
    """A ``PictureSource`` of one picture per file.

    Attributes:
        identifiers: (N,), what reports call each file.
        digests: (N,), sha256 of each; empty where nobody has read them yet.
    """

    paths: tuple[Path, ...]
    identifiers: tuple[str, ...]
    digests: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Pixels:
        """RGB, whole, upright; see ``PictureSource.read``."""
        data = self.encoded(index)
        try:
            return decode(data, read_header(data, LIMITS), colour="rgb")
        except PictureError as error:
            raise self._broken(index, error) from error

    def fitted(self, index: int, spec_for: SpecFor) -> Pixels:
        """As the server prepares it: a large JPEG is decoded smaller where that suffices."""
        data = self.encoded(index)
        try:
            header = read_header(data, LIMITS)
            return prepare(data, header, spec_for(header.upright_size))
        except PictureError as error:
            raise self._broken(index, error) from error

    def encoded(self, index: int) -> bytes:
        """The file's bytes.

        Raises:
            DataError: it can't be read.
        """
        try:
            return self.paths[index].read_bytes()
        except OSError as error:
            raise self._broken(index, error.strerror or error) from error

    def identifier(self, index: int) -> str:
        """See ``PictureSource.identifier``."""
        return self.identifiers[index]

    def digest(self, index: int) -> bytes:
        """sha256 of the file."""
        return self.digests[index] if self.digests else hashlib.sha256(self.encoded(index)).digest()

    def _broken(self, index: int, reason: object) -> DataError:
        return DataError(f"{self.identifiers[index]}: {reason}")
