"""`comfy_api.latest.ui`: what a node shows. Nothing is written to disk; each result keeps what it was given."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._io import FolderType


class SavedResult(dict):
    """A file that a node has written."""

    def __init__(self, filename: str, subfolder: str, type: FolderType):
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)


class SavedImages:
    def __init__(self, results: list[SavedResult], is_animated: bool = False):
        self.results = results
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.results} | ({"animated": (True,)} if self.is_animated else {})


class SavedAudios:
    def __init__(self, results: list[SavedResult]):
        self.results = results

    def as_dict(self) -> dict[str, Any]:
        return {"audio": self.results}


class PreviewImage:
    """Pictures [B,H,W,C]: one temporary file for each, so a node shows a few and never a whole clip."""

    def __init__(self, image: Tensor, animated: bool = False, cls: type | None = None, **kwargs: Any):
        if image.ndim != 4 or image.shape[-1] not in (3, 4):
            raise TypeError(f"a preview needs pictures [B,H,W,3], not {list(image.shape)}")
        self.image = image
        self.animated = animated

    def as_dict(self) -> dict[str, Any]:
        files = [SavedResult(f"preview_{n:05}_.png", "", FolderType.temp) for n in range(len(self.image))]
        return {"images": files, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    def __init__(self, mask: Tensor, animated: bool = False, cls: type | None = None, **kwargs: Any):
        picture = mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3)
        super().__init__(picture, animated, cls, **kwargs)


class PreviewAudio:
    def __init__(self, audio: dict[str, Any], cls: type | None = None, **kwargs: Any):
        self.audio = audio

    def as_dict(self) -> dict[str, Any]:
        return {"audio": [SavedResult("preview_00001_.flac", "", FolderType.temp)]}


class PreviewVideo:
    """Takes files that are saved already, not tensors."""

    def __init__(self, values: list[SavedResult | dict], **kwargs: Any):
        self.values = values

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (True,)}


class PreviewText:
    def __init__(self, value: str, **kwargs: Any):
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}
