"""One safetensors file that says what it is: tensors, plus a JSON header with kind and format version."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import DvaError
from .files import whole_or_nothing

FORMAT_VERSION = 1
_HEADER = "dva"


def write(path: str | Path, kind: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors and JSON-able fields to `path`, whole or not at all."""
    header = json.dumps({"format_version": FORMAT_VERSION, "kind": kind, "fields": dict(fields)})
    with whole_or_nothing(path) as unfinished:
        save_file(_apart(tensors), unfinished, {_HEADER: header})


def read(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields and tensors of a file that `write` made with this kind.

    Raises DvaError when the file is missing, damaged, of another kind, foreign, or of a newer format.
    """
    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file, which fails where no file can have such a name
        raise DvaError(f"There is no file {path} to read {kind} from.")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            if header is None:
                raise DvaError(f"{path} is a safetensors file, but not one of dva_core's; give one that holds {kind}.")
            fields = _checked_fields(path, kind, header)
            return fields, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DvaError(f"{path} is damaged or not a safetensors file ({error}); make or copy it again.") from error
    except OSError as error:
        raise DvaError(f"{path} cannot be read ({error.strerror or error}).") from error


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as the format takes them: on the CPU, contiguous, and none in the memory of another."""
    apart: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.contiguous().cpu()
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return apart


def _checked_fields(path: Path, kind: str, text: str) -> dict[str, Any]:
    try:
        header = json.loads(text)
        version, found, fields = header["format_version"], header["kind"], header["fields"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DvaError(f"The header of {path} is damaged; make or copy the file again.") from error
    if found != kind:
        raise DvaError(f"{path} holds {found}, not {kind}; give a file that holds {kind}.")
    if version != FORMAT_VERSION:
        raise DvaError(
            f"{path} has format version {version}, and this dva_core reads {FORMAT_VERSION}; update dva_core."
        )
    if not isinstance(fields, dict):
        raise DvaError(f"The header of {path} is damaged; make or copy the file again.")
    return fields
