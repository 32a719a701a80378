"""``.cnet`` files in Pillow, and in imageio through it."""

import io
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from .._files import FormatError
from ._container import MAGIC, unpack
from ._decompress import decompress, metadata

_NAME = "CNET"
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_SAVED = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")  # 8 bits a sample


class CnetImageFile(ImageFile.ImageFile):
    """A ``.cnet`` file as Pillow opens it: its size at once, its pixels when asked for."""

    format = _NAME
    format_description = "coordnet: a picture as weights"
    _data: bytes | None = None  # what is not decoded yet

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        try:
            header, chunks = unpack(self._data)
            info = metadata(header, chunks)
        except FormatError as error:
            raise SyntaxError(str(error)) from error  # what Pillow wants to hear
        self._size = header.width, header.height
        self._mode = _MODES[header.channels + header.alpha]
        found = {"icc_profile": info.icc_profile, "exif": info.exif}
        self.info.update({name: value for name, value in found.items() if value})
        self.tile = []

    def load(self) -> Any:
        """Decode the picture, once."""
        if self._data is not None:
            width, height = self._size
            found = decompress(self._data, max_pixels=width * height)  # Pillow has its own limit
            samples = np.rint(found.image * 255).astype(np.uint8)
            if samples.shape[2] == 1:
                samples = samples[..., 0]
            self.im = Image.fromarray(samples).im
            self._data = None
        return super().load()


def _save(image: Image.Image, file: IO[bytes] | io.BytesIO, filename: str | bytes) -> None:
    from .._decode import ImageInfo, shallow
    from ._compress import compress

    if image.mode not in _SAVED:
        msg = f"a picture of mode {image.mode} cannot be a .cnet file; convert it to L, RGB or RGBA"
        raise OSError(msg)  # as Pillow's own formats do
    options = dict(getattr(image, "encoderinfo", {}))
    exif = options.pop("exif", image.info.get("exif"))
    profile = options.pop("icc_profile", image.info.get("icc_profile"))
    if not isinstance(exif, bytes | None):
        exif = exif.tobytes()
    samples, bits = shallow(image)
    info = ImageInfo(bits, image.mode, icc_profile=profile, exif=exif)
    file.write(compress(samples, info=info, **options))


def register_plugins() -> None:
    """Let Pillow, and imageio through it, open and save ``.cnet`` files.

    Saving takes the options of ``compress``: ``picture.save("x.cnet", bpp=0.5)``. Pillow opens,
    and empties, the file before it asks for its bytes: where one is to be replaced, and nothing
    lost if that fails or is ended, let ``compress`` make them and write them yourself.

    >>> import PIL.Image
    >>> register_plugins()
    >>> PIL.Image.registered_extensions()[".cnet"]
    'CNET'
    """

    def ours(prefix: bytes) -> bool:
        return prefix.startswith(MAGIC)

    Image.register_open(_NAME, CnetImageFile, ours)
    Image.register_save(_NAME, _save)
    Image.register_extension(_NAME, ".cnet")
    Image.register_mime(_NAME, "image/x-cnet")
