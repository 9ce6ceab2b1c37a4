"""Stand-in for ComfyUI's folders, below a directory of the test's own."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

base_path = ""
models_dir = ""
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}

BUILT_IN = {"text_encoders": ("text_encoders", "clip")}
"""The model folders of the host itself that the pack looks into; models/clip is no name of its own any more."""
ENDINGS = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}

_MARKS = {"[output]": "output", "[input]": "input", "[temp]": "temp"}


def use(root: Path) -> None:
    """Makes the host's folders below `root`. The real host knows them from its command line."""
    global base_path, models_dir
    base_path = str(root)
    models_dir = str(root / "models")
    folder_names_and_paths.clear()
    for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, folders in BUILT_IN.items():
        folder_names_and_paths[name] = ([str(root / "models" / folder) for folder in folders], set(ENDINGS))


def get_input_directory() -> str:
    return str(Path(base_path) / "input")


def get_output_directory() -> str:
    return str(Path(base_path) / "output")


def get_temp_directory() -> str:
    return str(Path(base_path) / "temp")


def get_user_directory() -> str:
    return str(Path(base_path) / "user")


# --- models ---


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path in paths:
        if not is_default:
            return
        paths.remove(full_folder_path)
    paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    return folder_names_and_paths[folder_name][0][:]


def get_filename_list(folder_name: str) -> list[str]:
    """Names relative to the folder; a folder without a set of endings lists everything."""
    paths, endings = folder_names_and_paths[folder_name]
    files = {
        str(file.relative_to(folder)).replace("\\", "/")
        for folder in map(Path, paths)
        for file in folder.rglob("*")
        if file.is_file() and (not endings or file.suffix.lower() in endings)
    }
    return sorted(files)


def get_full_path(folder_name: str, filename: str) -> str | None:
    candidates = [Path(folder) / filename for folder in get_folder_paths(folder_name)]
    return next((str(path) for path in candidates if path.is_file()), None)


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"folder {folder_name} has no file {filename}")
    return path


# --- files of the user ---


def filter_files_content_types(files: list[str], content_types: list[str]) -> list[str]:
    return [name for name in files if (mimetypes.guess_type(name)[0] or "").split("/")[0] in content_types]


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The file behind "name", "name [output]" or "name [temp]"; ValueError when it leads out of the folder."""
    folder, name = _folder_of(name, default_dir)
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"not a file of the host's folders: {name!r}")
    return str(path)


def exists_annotated_filepath(name: str) -> bool:
    try:
        return Path(get_annotated_filepath(name)).exists()
    except ValueError:
        return False


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """(folder, file name, next free number, subfolder, prefix) for a new file `name_00001_...`."""
    filename_prefix = filename_prefix.replace("%width%", str(image_width)).replace("%height%", str(image_height))
    target = (Path(output_dir) / filename_prefix).resolve()
    if not target.is_relative_to(Path(output_dir).resolve()):
        raise Exception(f"{filename_prefix} leads out of the output folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(re.escape(target.name) + r"_(\d+)")
    numbers = [int(found[1]) for file in target.parent.iterdir() if (found := pattern.match(file.name))]
    subfolder = target.parent.relative_to(Path(output_dir).resolve())
    number = max(numbers, default=0) + 1
    return str(target.parent), target.name, number, "" if subfolder == Path() else str(subfolder), filename_prefix


def _folder_of(name: str, default_dir: str | None) -> tuple[Path, str]:
    for mark, folder in _MARKS.items():
        if name.endswith(mark):
            return Path(base_path) / folder, name[: -len(mark)].rstrip()
    return Path(default_dir or get_input_directory()), name
