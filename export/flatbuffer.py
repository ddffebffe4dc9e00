"""TFLite flatbuffers as objects of the schema, and back.

A buffer's data may stand behind the flatbuffer instead of in it, which some runtimes and readers
do not know; what is read here has all data in its buffers, and so has what is packed.
"""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from elasticvit.errors import ExportError

FILE_IDENTIFIER = b"TFL3"
TENSOR_TYPES = {  # names of the types of tensors, such as FLOAT32, by the schema's number
    code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")
}
_NO_OFFSET = 1  # offsets 0 and 1 mean that the data is in the buffer itself


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """Constant data at a multiple of 16 bytes, as the schema demands of buffers."""

    def Pack(self, builder: Any) -> Any:
        data = None
        if self.data is not None:
            raw = self.data.reshape(-1).view(np.uint8)
            builder.StartVector(1, raw.size, 16)
            builder.head -= raw.size
            target = np.frombuffer(builder.Bytes, np.uint8)  # slices of bytes would copy twice
            target[builder.head : builder.head + raw.size] = raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def unpacked(data: bytes) -> Any:
    """The schema's object of a TFLite file, every constant in its buffer.

    Args:
        data: Content of the file.

    Raises:
        ExportError: The data is no TFLite flatbuffer.
    """
    if data[4:8] != FILE_IDENTIFIER:
        raise ExportError("not a TFLite model: its identifier is missing; export it again")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for index, buffer in enumerate(model.buffers):
        inside = AlignedBuffer()
        if buffer.offset is not None and buffer.offset > _NO_OFFSET:
            inside.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        elif buffer.data is not None and len(buffer.data):
            inside.data = np.asarray(buffer.data, np.uint8)
        model.buffers[index] = inside
    return model


def packed(model: Any) -> bytes:
    """Content of the TFLite file of the schema's object, whose buffers are `AlignedBuffer`."""
    size = sum(b.data.nbytes + 64 for b in model.buffers if b.data is not None)
    tensors = sum(len(graph.tensors) for graph in model.subgraphs)
    builder = flatbuffers.Builder(size + 512 * (tensors + 8))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(memoryview(builder.Bytes)[builder.Head() :])  # one copy, not Output's two
