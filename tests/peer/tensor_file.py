"""Reads and writes safetensors files with PyTorch alone: old releases of it and new ones of NumPy do not fit."""
import ctypes
import json

import torch

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, value in tensors.items():
        value = value.detach().contiguous()
        data = ctypes.string_at(value.data_ptr(), value.numel() * value.element_size())
        header[name] = {
            "dtype": NAMES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        tensors[name] = torch.frombuffer(data[first:last], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors
