"""Where weight files lie: in ComfyUI's models folder, in one of our own, or where their libraries keep them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..errors import DvaError
from ..progress import Cancel, Progress, never, silent
from . import ledger
from .plausible import implausible
from .registry import WeightFile, by_hand, weight

_PACKAGE = Path(__file__).parents[2]


def models_folder() -> Path:
    """The folder that downloads go to: $DVA_MODELS, or the `models` of the ComfyUI that this package is a node pack
    of, or ~/.cache/dva/models. It is laid out like ComfyUI's. Raises DvaError when there is no such user or home."""
    if own := _own_folders():
        return own[0]
    raise DvaError("This user has no home folder for weight files; set DVA_MODELS to a folder for them.")


def search_folders(folders: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The models folders to look in, each once: those given (such as ComfyUI's), then all of our own.

    Those of our own are the ones that `models_folder` chooses from, in its order; raises what it raises.
    """
    return tuple(dict.fromkeys([*folders, models_folder(), *_own_folders()]))


def find(wanted: WeightFile, folders: Sequence[Path] = ()) -> Path | None:
    """The file, or the complete folder of what comes as a zip: in the models folders, else where libraries keep it."""
    for folder in search_folders(folders):
        if found := find_in(wanted, folder):
            return found
    return next((path for path in _libraries_places(wanted) if _complete(wanted, path)), None)


def find_in(wanted: WeightFile, folder: Path) -> Path | None:
    """The same, in this models folder alone."""
    places = [wanted.place, *(place for place in wanted.also if not place.startswith("~"))]
    return next((folder / place for place in places if _complete(wanted, folder / place)), None)


def require(
    name: str,
    folders: Sequence[Path] = (),
    needed_for: str = "This",
    progress: Progress = silent,
    cancelled: Cancel = never,
) -> Path:
    """The weight file of this name, there and checked; for one that comes as a zip, the folder of its files.

    `needed_for` starts the sentence: "The text edit" needs the weight file ….
    Raises DvaError when it is missing (with all that is needed to get it), or another file than it was.
    """
    wanted = weight(name)
    path = find(wanted, folders)
    if path is None:
        target = search_folders(folders)[0]
        raise DvaError(
            f"{needed_for} needs the weight file {name} ({wanted.purpose}; licence: {wanted.licence}; commercial use: "
            f"{wanted.commercial}, as {wanted.why}), which is not there; get it with `dva models get {name}`, or "
            f"{by_hand(wanted, target)}{_in_the_way(wanted, target)}."
        )
    check(wanted, path, folders, progress=progress, cancelled=cancelled)
    return path


def bundle_path(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """The bundle of this name, with or without its ending, in the dva folder of one of the models folders."""
    file = name if name.endswith(".safetensors") else f"{name}.safetensors"
    paths = (folder / "dva" / file for folder in search_folders(folders))
    return next((path for path in paths if path.is_file()), None)


def how_to_get_published(folders: Sequence[Path] = ()) -> str:
    """A sentence for whoever wants the published model and has not converted it yet."""
    return (
        f"The published model is not in {search_folders(folders)[0] / 'dva'}: its weights come from its authors (the "
        "licence of the weights is not stated, so commercial use is unclear); fetch them with `dva models get "
        "dva-checkpoint dva-classifier` (3.5 GB), then run `dva convert` once (in ComfyUI, type `python -m dva_core` "
        "for dva, in the folder of this pack)."
    )


def check(
    wanted: WeightFile,
    path: Path,
    folders: Sequence[Path] = (),
    again: bool = False,
    progress: Progress = silent,
    cancelled: Cancel = never,
) -> None:
    """Holds what lies at `path` against the published or recorded hashes, and records those not yet known.

    With `again` all is read even if it looks unchanged. Raises ledger.WrongHash, saying what to do; also for what no
    weight file can be, such as a web page, of which no hash is recorded.
    """
    check_plausible(wanted, path)
    for file, published in files_at(wanted, path):
        try:
            ledger.check(file, published, ledgers(path, folders), again, progress, cancelled)
        except ledger.WrongHash as error:
            accept = f"; or, if you changed it yourself, run `dva models verify --accept {wanted.name}`"
            raise ledger.WrongHash(
                f"{error}: it is damaged or another file; get it again with `dva models get {wanted.name}`"
                f"{'' if published else accept}."
            ) from error


def check_plausible(wanted: WeightFile, path: Path) -> None:
    """Raises ledger.WrongHash when something at `path` cannot be a weight file, where no published hash can tell."""
    for file, published in files_at(wanted, path):
        if not published and (instead := implausible(file)):
            raise ledger.WrongHash(f"{file} is {instead}; get it again with `dva models get {wanted.name}`.")


def files_at(wanted: WeightFile, path: Path) -> list[tuple[Path, str | None]]:
    """The files of what lies at `path`, each with its published hash."""
    if wanted.contents:
        return [(path / file.name, file.sha256) for file in wanted.contents]
    return [(path, wanted.sha256)]


def ledgers(path: Path, folders: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The models folders whose ledgers may tell of `path`: that in which it lies, then our own."""
    own = search_folders()
    around = [folder for folder in (*folders, *own) if path.absolute().is_relative_to(folder.absolute())]
    return tuple(dict.fromkeys([*around, *own]))


def _own_folders() -> list[Path]:
    folders = []
    if chosen := os.environ.get("DVA_MODELS"):
        if not (named := _at_home(chosen)):
            raise DvaError(f"DVA_MODELS is {chosen}, but there is no such home folder; set it to another folder.")
        folders.append(named)
    comfyui = _PACKAGE.parent.parent / "models"
    if _PACKAGE.parent.name == "custom_nodes" and comfyui.is_dir():
        folders.append(comfyui)
    if cache := _at_home("~/.cache/dva/models"):
        folders.append(cache)
    return folders


def _at_home(place: str) -> Path | None:
    """A place with its ~ replaced; None where that user has no home, as in some containers."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        return None


def _complete(wanted: WeightFile, path: Path) -> bool:
    # Unlike Path.is_file, this takes what may not be looked at for not there.
    return all(os.path.isfile(file) for file, _ in files_at(wanted, path))


def _libraries_places(wanted: WeightFile) -> list[Path]:
    places = [path for place in wanted.also if place.startswith("~") and (path := _at_home(place))]
    if wanted.place.startswith("facexlib/"):
        # Found without importing it, which takes seconds: facexlib keeps its files inside its own package.
        package = find_spec("facexlib")
        if package and package.origin:
            places.append(Path(package.origin).parent / "weights" / Path(wanted.place).name)
    return places


def _in_the_way(wanted: WeightFile, folder: Path) -> str:
    path = folder / wanted.place
    if path.is_dir() and not wanted.contents:
        return " (where there is a folder now; move it away)"
    if path.is_dir():
        missing = ", ".join(file.name for file, _ in files_at(wanted, path) if not file.is_file())
        return f" (where {missing} is missing now)"
    return ""
