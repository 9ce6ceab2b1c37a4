"""A CLIP that builds in milliseconds, untrained, and files for it: as open_clip and OpenAI publish theirs, and evil."""

from __future__ import annotations

import json
import os
import pickle
import socket
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

TINY_CLIP = Path(__file__).parent / "data" / "tiny_clip.json"


def tiny_clip_model(**changes: object) -> nn.Module:
    """The model that TINY_CLIP describes, with `changes` to its config; always with the same random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return open_clip.CLIP(**(json.loads(TINY_CLIP.read_text()) | changes)).eval()


def write_tiny_clip(folder: Path) -> tuple[Path, Path]:
    """Checkpoints for TINY_CLIP, both with the same weights: a state dict as .pt, and .safetensors."""
    weights = tiny_clip_model().state_dict()
    torch.save(weights, folder / "tiny_clip.pt")
    save_file(weights, folder / "tiny_clip.safetensors")
    return folder / "tiny_clip.pt", folder / "tiny_clip.safetensors"


def write_openai_archive(path: Path) -> Path:
    """The same weights in half precision as a TorchScript archive in the form of OpenAI's, sizes beside the weights."""
    model = tiny_clip_model(quick_gelu=True)
    for name, size in (("input_resolution", 16), ("context_length", 32), ("vocab_size", 49408)):
        vars(model).pop(name, None)
        model.register_buffer(name, torch.tensor(size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out of PyTorch, and OpenAI's files will stay
        examples = (torch.zeros(1, 3, 16, 16), torch.zeros(1, 32, dtype=torch.long))
        torch.jit.trace(model, examples, check_trace=False).half().save(str(path))
    return path


def write_program_of_one_storage(path: Path, names: Sequence[str], padding: int = 0) -> Path:
    """A TorchScript archive, written by hand, whose tensors 0, 1, 2 all name one storage; zeros after it are packed."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu") + b"K\x03tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00(K\x03t(K\x01t\x89NtR"
    attributes = b"".join(_text(name) + tensor for name in names)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if padding else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/constants.pkl", b"")
        archive.writestr("archive/data.pkl", b"\x80\x02c__torch__\nNet\n)\x81}(" + attributes + b"ub.")
        archive.writestr("archive/data/0", torch.arange(3.0).numpy().tobytes() + bytes(padding))
    return path


@contextmanager
def no_connections() -> Iterator[None]:
    """The block fails where it would look for something on the net."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


def bare_pickle(path: Path, makes: Path) -> None:
    """A file that makes the folder `makes` where it is unpickled; so do the two below."""
    path.write_bytes(pickle.dumps(_Malicious(makes)))


def pickle_in_a_state_dict(path: Path, makes: Path) -> None:
    """A checkpoint that is whole, with something among its arguments."""
    torch.save({"state_dict": tiny_clip_model().state_dict(), "arguments": _Malicious(makes)}, path)


def pickle_in_an_archive(path: Path, makes: Path) -> None:
    """What PyTorch takes for a TorchScript archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/constants.pkl", b"")
        archive.writestr("archive/data.pkl", pickle.dumps(_Malicious(makes), protocol=2))


def _text(text: str) -> bytes:
    """A text in a pickle."""
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


class _Malicious:
    def __init__(self, makes: Path) -> None:
        self._makes = makes

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self._makes),)
