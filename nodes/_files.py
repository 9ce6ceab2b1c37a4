"""Identities and noise maps that a user keeps: the saving nodes' outputs and the loading nodes' choice of files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..dva_core.errors import DvaError
from . import _host

if TYPE_CHECKING:
    from ..dva_core.values import Stored

SUBFOLDER = "dva"
NOTHING = "(save one first)"


def save(value: Stored, prefix: str) -> io.NodeOutput:
    """Writes a value to a new file in the output folder's `dva`; the node's outputs are the value and the path."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]*", prefix):
        raise DvaError(
            f"The file name '{prefix}' does not work on every system; use letters, digits, spaces, dots, - and _."
        )
    folder = _host.output_folder() / SUBFOLDER
    taken = [
        int(path.stem.rpartition("_")[2]) for path in folder.glob(f"{prefix}_[0-9][0-9][0-9][0-9][0-9].safetensors")
    ]
    path = folder / f"{prefix}_{max(taken, default=0) + 1:05}.safetensors"
    value.save(path)
    return io.NodeOutput(value, str(path), ui=ui.PreviewText(str(path)))


def file_input(tooltip: str) -> io.Combo.Input:
    """The choice among saved files, newest first, those of the output folder marked as the host does."""
    folders = {f"{SUBFOLDER}/{{}} [output]": _host.output_folder() / SUBFOLDER, "{}": _host.input_folder()}
    files = [
        (path.stat().st_mtime, form.format(path.name))
        for form, folder in folders.items()
        for path in folder.glob("*.safetensors")
    ]
    names = [name for _, name in sorted(files, reverse=True)]
    return io.Combo.Input("file", options=names or [NOTHING], tooltip=tooltip)


def check_file(name: str) -> bool | str:
    """True, or a sentence for the user."""
    if name == NOTHING:
        return "There is no saved file yet; save one with the matching Save node, then press R to refresh."
    try:
        found = _host.annotated_path(name).is_file()
    except ValueError:
        found = False
    return found or f"There is no file {name}; press R to refresh and choose another."


def stamp(name: str) -> str:
    """Changes when the file does."""
    about = _host.annotated_path(name).stat()
    return f"{about.st_mtime_ns} {about.st_size}"


def path_of(name: str) -> Path:
    """The file behind a choice of `file_input`; DvaError when it is not there."""
    answer = check_file(name)
    if answer is not True:
        raise DvaError(str(answer))
    return _host.annotated_path(name)
