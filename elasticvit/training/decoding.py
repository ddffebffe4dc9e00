"""Images of a file or of bytes, decoded within limits; what cannot be read is named."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from elasticvit.errors import DataError
from elasticvit.training.naming import named

# formats that only hold pixels; of others Pillow runs programs (EPS)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF", "TGA")
TURNED = range(2, 9)  # EXIF orientations other than upright
MARK = "elasticvit_turned"
MOST_PIXELS = 89_478_485  # Pillow warns above this; a picture takes 3 bytes for each


def decoded(source: str | Path | bytes | None, where: str) -> Image.Image:
    """An image in the mode of its file, upright (see `upright`).

    Args:
        source: Path of an image file, or its bytes.
        where: What a message calls the image: its file, or its row in a table.

    Raises:
        DataError: It is missing, not an image, damaged or too large.
    """
    if source is None or source == b"":
        raise _failure(where, "it is empty")
    if isinstance(source, str | Path) and Path(source).exists() and not Path(source).is_file():
        raise _failure(where, "it is not a regular file")  # to open a pipe would wait for ever
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that does not matter
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"{where} has more than {MOST_PIXELS:,} pixels, the most that an image may have; "
            "shrink or remove it"
        ) from error
    except UnidentifiedImageError as error:
        raise _failure(where, "it is not an image of a known format") from error
    except OSError as error:
        raise _failure(where, error.strerror or str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise _failure(where, str(error) or "it is damaged") from error
    return upright(image)


def upright(image: Image.Image) -> Image.Image:
    """An image as viewers show it: turned or mirrored as the orientation in its EXIF data says.

    One that was is marked (`was_turned`). EXIF data that cannot be read says nothing.
    """
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) not in TURNED:
            return image
        image = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # a damaged description makes Pillow raise anything; the pixels are whole
        return image
    image.info[MARK] = True
    return image


def was_turned(image: Image.Image) -> bool:
    """Whether `upright` turned or mirrored an image, also after it was converted."""
    return MARK in image.info


def _failure(where: str, reason: str) -> DataError:
    return DataError(f"{where} cannot be decoded: {named(reason)}; mend or remove it")
