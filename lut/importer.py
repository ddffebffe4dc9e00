"""Import of the four-kind block tables: JSON files of block key -> milliseconds.

Keys (microsoft/nn-Meter, branch dev/hybrid-transformer), with `hw` the side of the block's
input map:

    firstconv_{res}_3_{c}_2_3                                               first_conv
    conv_{hw}_{cin}_{cout}_{expansion}_{stride}_hard_swish_{kernel}_{se|nose}   mbconv
    transds_{hw}_{cin}_{cout}_{stride}_{expansion}                          downsample
    transattn_{hw}_{c}_hard_swish_{v_scale}_ln                              attention
    transffn_{hw}_{c}_{mlp_ratio}_hard_swish_ln                             ffn
    mbpool_{hw}_{c}_1984_6_hard_swish                                       head

The tables hold one number a block; threads, clock, temperature and spread were not recorded.
Rows that no architecture of this family can have (downsampling of expansion 4, attention on a
width that is no multiple of the head dimension) are left out, and counted.

The tables' authors sum an architecture with map sides halved and rounded down, but a strided
convolution rounds up: at resolutions 160, 176 and 224 their sums stand for smaller maps than
those that run. `authors_sum_ms` is theirs; `lower` and so every predictor uses the true sides.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from devices.protocol import Measurement
from elasticvit.arch import Arch
from elasticvit.errors import StoreError
from elasticvit.kernels import (
    DOWNSAMPLE_EXPANSION,
    FFN,
    QK_DIM,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    Layout,
    MBConv,
    lower,
)
from elasticvit.precisions import FP32
from elasticvit.reading import Format, shown
from lut.series import IMPORTED, UNRECORDED, printable_name
from lut.store import Store

ENDING = ".json"
CLASSES = 1000  # of the tables' heads
SLOWEST_MS = 1e4  # a block of ten seconds is no block of this family: the unit must be wrong
FASTEST_MS = 1e-5
Rows = Annotated[
    dict[str, Annotated[float, Meta(ge=FASTEST_MS, le=SLOWEST_MS)]], Meta(min_length=1)
]
FILE: Format[Mapping[str, float]] = Format(
    kind=Rows,
    what="a block table, a JSON object of key -> milliseconds",
    error=StoreError,
    mend="get the table again",
)
Pattern = tuple[re.Pattern[str], Callable[..., Kernel | None]]


def _pattern(text: str, make: Callable[..., Kernel | None]) -> Pattern:
    return re.compile(text.replace("#", "([1-9][0-9]{0,5})")), make


PATTERNS: tuple[Pattern, ...] = (
    _pattern("firstconv_#_3_#_2_3", lambda size, width: FirstConv(size, 3, width)),
    _pattern(
        "conv_#_#_#_#_#_hard_swish_#_se",
        lambda size, cin, cout, e, stride, k: MBConv(size, cin, cout, e, k, stride, 1),
    ),
    _pattern(
        "conv_#_#_#_#_#_hard_swish_#_nose",
        lambda size, cin, cout, e, stride, k: MBConv(size, cin, cout, e, k, stride, 0),
    ),
    _pattern(
        "transds_#_#_#_#_#",
        lambda size, cin, cout, stride, e: (
            Downsample(size, cin, cout, stride) if e == DOWNSAMPLE_EXPANSION else None
        ),
    ),
    _pattern(
        "transattn_#_#_hard_swish_#_ln",
        lambda size, width, v: Attention(size, width, v) if width % QK_DIM == 0 else None,
    ),
    _pattern("transffn_#_#_#_hard_swish_ln", lambda size, width, mlp: FFN(size, width, mlp)),
    _pattern(
        "mbpool_#_#_#_#_hard_swish",
        lambda size, width, hidden, e: Head(size, width, e, hidden, CLASSES),
    ),
)


@dataclass(frozen=True)
class BlockTable:
    """An imported table.

    Attributes:
        name: Name of the file.
        sha256: SHA-256 of its bytes, in hexadecimal digits.
        table_ms: Milliseconds of each kernel.
        left_out: Number of rows that no architecture of this family can have.
    """

    name: str
    sha256: str
    table_ms: Mapping[Kernel, float]
    left_out: int

    @property
    def source(self) -> str:
        return f"{IMPORTED}{self.name}"

    def missing(self, kernels: Iterable[Kernel]) -> list[Kernel]:
        """Those of the kernels that the table lacks, whatever the number of classes of a head."""
        return [k for k in kernels if _with_classes(k) not in self.table_ms]

    def has(self, arch: Arch, layout: Layout) -> bool:
        """Whether both sums of an architecture can be taken."""
        return not self.missing([*lower(arch, layout), *_authors_kernels(arch, layout)])

    def authors_sum_ms(self, arch: Arch, layout: Layout) -> float:
        """Sum over the kernels of an architecture as the table's authors take it: map sides
        halved and rounded down, a head of 1,000 classes.

        Raises:
            StoreError: The table lacks a kernel.
        """
        return self._sum_ms(_authors_kernels(arch, layout))

    def sum_ms(self, arch: Arch, layout: Layout) -> float:
        """Sum over the kernels as they run, with a head of 1,000 classes; raises as above."""
        return self._sum_ms(lower(arch, layout))

    def _sum_ms(self, kernels: Sequence[Kernel]) -> float:
        missing = self.missing(kernels)
        if missing:
            raise StoreError(
                f"{self.name} has no {missing[0].key}; a sum needs every kernel of the architecture"
            )
        return math.fsum(self.table_ms[_with_classes(k)] for k in kernels)

    def add_to(self, store: Store, device: str, precision: str = FP32) -> int:
        """Append the table to a device's measurements, in one transaction.

        Args:
            precision: Precision that the blocks were timed in, which the file does not say.

        Returns:
            Rows added; 0 when this very file was imported before.
        """
        if any(s.runtime_hash == self.sha256 for s in store.series(device, precision)):
            return 0
        now = time.time()
        rows = [
            Measurement(
                key=kernel.key,
                samples_us=(ms * 1e3,),
                round=0,
                threads=0,
                cores=UNRECORDED,
                source=self.source,
                runtime=UNRECORDED,
                runtime_hash=self.sha256,
                time_s=now,
                precision=precision,
            )
            for kernel, ms in self.table_ms.items()
        ]
        store.add(device, *rows)
        return len(rows)


def _with_classes(kernel: Kernel) -> Kernel:
    return replace(kernel, classes=CLASSES) if isinstance(kernel, Head) else kernel


def _authors_kernels(arch: Arch, layout: Layout) -> list[Kernel]:
    size, kernels = arch.resolution, []
    for kernel in lower(arch, layout):
        kernels.append(replace(kernel, size=size))
        size //= kernel.dims.get("stride", getattr(kernel, "stride", 1))
    return kernels


def kernel_of(key: str) -> Kernel | None:
    """The kernel of a block table's key; None if no architecture of this family can have it.

    Raises:
        StoreError: Not a key of the format.
    """
    for pattern, make in PATTERNS:
        match = pattern.fullmatch(key)
        if match:
            return make(*map(int, match.groups()))
    raise FILE.failure(f"{shown(key)} is not a key of the block tables' format")


def read_block_table(path: Path | str) -> BlockTable:
    """Read a table.

    Raises:
        StoreError: Unreadable, too large, half-written or another format; a key that is none or is
            there twice; a latency that is not a positive finite number of milliseconds. The row is
            named.
    """
    path = Path(path)
    raw = FILE.read_bytes(path)
    data = FILE.parse_json(raw, f"table {path}")
    twice = next((key for key, n in Counter(_keys(raw)).items() if n > 1), None)
    if twice is not None:
        raise FILE.failure(f"table {path} has the key {shown(twice)} more than once")
    table: dict[Kernel, float] = {}
    for key, ms in data.items():
        try:
            kernel = kernel_of(key)
        except StoreError as error:
            raise StoreError(f"table {path}: {error}") from None
        if kernel is not None:
            table[kernel] = ms
    if not table:
        raise FILE.failure(f"table {path} has no row that an architecture of this family can have")
    digest = hashlib.sha256(raw).hexdigest()
    return BlockTable(printable_name(path), digest, table, len(data) - len(table))


def _keys(raw: bytes) -> list[str]:
    """The keys of a JSON object as they stand there; a parser keeps the last of equal ones."""
    pairs: list[tuple[str, object]] = json.loads(raw, object_pairs_hook=list)
    return [key for key, _ in pairs]
