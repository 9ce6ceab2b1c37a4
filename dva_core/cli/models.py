"""The command `dva models`: which weight files there are, whether they are here and right, and how to get them."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..files import size_text
from ..progress import progress_bars
from ..weights import ledger, places
from ..weights.registry import WEIGHTS, WeightFile, weight

_LABEL, _NARROWEST, _WIDEST = 16, 60, 110
_STATES: dict[str, str] = {
    "published": "as published",
    "recorded": "as on first use",
    "unchecked": "not checked yet",
    "changed": "CHANGED since it was checked",
}


def add_models(commands: Any) -> None:
    """Adds `models` to the sub-commands of an argparse parser."""
    models = commands.add_parser(
        "models",
        help="list, get and check weight files",
        description="List every known weight file. Only `dva models get` downloads, and only what it is given by name.",
        epilog="example: dva models get dva-checkpoint dva-classifier",
    )
    models.add_argument("--json", metavar="FILE", type=Path, help="write the list as JSON")
    models.set_defaults(run=_list, folder=None)
    _add_folder(models)
    actions = models.add_subparsers(title="actions", metavar="ACTION")

    get = actions.add_parser(
        "get",
        help="download weight files by name",
        description="Download weight files, check them, and put them where they belong. An interrupted download goes "
        "on where it stopped. Proxies of the environment are used; with DVA_OFFLINE=1 nothing is downloaded.",
    )
    get.add_argument("names", metavar="NAME", nargs="+", help="as `dva models` lists them")
    _add_folder(get)
    get.set_defaults(run=_get)

    verify = actions.add_parser(
        "verify",
        help="read weight files and compare their hashes",
        description="Read weight files whole, and compare them with the hashes that were published or recorded.",
    )
    verify.add_argument("names", metavar="NAME", nargs="*", help="default: all that are here")
    verify.add_argument(
        "--accept", action="store_true", help="record the files named as they are now, where no hash is published"
    )
    _add_folder(verify)
    verify.set_defaults(run=_verify)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", metavar="FOLDER", type=Path, default=argparse.SUPPRESS,
        help="a folder laid out like ComfyUI's models (default: $DVA_MODELS, the models folder of the ComfyUI around "
        "this pack, or ~/.cache/dva/models)",
    )  # fmt: skip


def _list(options: argparse.Namespace) -> None:
    from ..evaluation.report import write_report

    listed = [_report(known, options.folder) for known in WEIGHTS]
    folder = options.folder or places.models_folder()
    if options.json:
        write_report({"folder": str(folder), "files": listed}, options.json)
    for entry in listed:
        print(_block(entry, folder) + "\n")
    here = [entry for entry in listed if entry["path"]]
    size = sum(entry["bytes_here"] for entry in here)
    print(f"{len(here)} of {len(listed)} known weight files are here ({size_text(size)}). Models folder: {folder}")
    print("Get one with: dva models get NAME        Check those here with: dva models verify")


def _get(options: argparse.Namespace) -> None:
    from ..weights.download import fetch

    folder = options.folder or places.models_folder()
    for wanted in [weight(name) for name in options.names]:
        elsewhere = None if options.folder else _right_elsewhere(wanted, folder)
        if elsewhere:
            print(f"{wanted.name} is already here: {elsewhere}")
            continue
        print(f"{wanted.name}: {wanted.licence}. Commercial use: {wanted.commercial} ({wanted.why}).", flush=True)
        try:
            with progress_bars() as bars:
                fetched = fetch(wanted, folder, progress=bars)
        except KeyboardInterrupt:
            print("What has arrived is kept; the same command goes on from there.", file=sys.stderr)
            raise
        print(f"{wanted.name} {'was already here' if fetched.already_there else 'is now here'}: {fetched.path}")
        if wanted.then:
            print(f"Next: {wanted.then.format(path=fetched.path)}")


def _verify(options: argparse.Namespace) -> None:
    folders = _folders(options.folder)
    if options.accept and not options.names:
        raise DvaError("--accept needs the names of the files to accept; give them before it.")
    chosen = [(known, _find(known, options.folder)) for known in map(weight, options.names)]
    missing = [known.name for known, path in chosen if path is None]
    if missing:
        raise DvaError(f"{', '.join(missing)} cannot be verified, not being here; `dva models` tells where to get it.")
    if not options.names:
        chosen = [(known, path) for known in WEIGHTS if (path := _find(known, options.folder))]
    wrong = []
    for known, path in chosen:
        if options.accept:
            _accept(known, path, folders)
        try:
            with progress_bars() as bars:
                places.check(known, path, folders, again=True, progress=bars)
        except ledger.WrongHash as error:
            wrong.append(error)
            print(f"{known.name}  WRONG  {path}")
        else:
            print(f"{known.name}  {_STATES[_state(known, path, options.folder)]}  {path}")
    if wrong:
        raise DvaError(" ".join(str(error) for error in wrong))
    if not chosen:
        print("There is no weight file here yet; `dva models` lists those that are known.")


def _accept(known: WeightFile, path: Path, folders: tuple[Path, ...]) -> None:
    places.check_plausible(known, path)
    for file, published in places.files_at(known, path):
        if not published:
            ledger.record(file, ledger.sha256_of(file), places.ledgers(path, folders))


def _folders(folder: Path | None) -> tuple[Path, ...]:
    return (folder,) if folder else ()


def _find(known: WeightFile, folder: Path | None) -> Path | None:
    """With a folder named, only what is there counts."""
    return places.find_in(known, folder) if folder else places.find(known)


def _right_elsewhere(wanted: WeightFile, folder: Path) -> Path | None:
    """Where a library keeps a file that therefore need not be downloaded again."""
    path = places.find(wanted)
    if path is None or path.is_relative_to(folder):
        return None
    try:
        places.check(wanted, path)
    except ledger.WrongHash:
        return None
    return path


def _report(known: WeightFile, folder: Path | None) -> dict[str, Any]:
    path = _find(known, folder)
    files = places.files_at(known, path) if path else []
    return {
        **asdict(known),
        "page": known.page,
        "path": str(path) if path else None,
        "bytes_here": sum(file.stat().st_size for file, _ in files),
        "hash_state": _state(known, path, folder) if path else None,
    }


def _state(known: WeightFile, path: Path, folder: Path | None) -> ledger.State:
    """That of the file of which least is known."""
    books = places.ledgers(path, _folders(folder))
    states = {ledger.state(file, published, books) for file, published in places.files_at(known, path)}
    return next(state for state in ("changed", "unchecked", "recorded", "published") if state in states)


def _block(entry: dict[str, Any], folder: Path) -> str:
    here = "no"
    if entry["path"]:
        here = f"{entry['path']} ({size_text(entry['bytes_here'])}, {_STATES[entry['hash_state']]})"
    known_hash = "not published; recorded on first use, and checked ever after"
    if entry["sha256"]:
        known_hash = f"{entry['sha256'][:16]}…, published by {entry['hash_from']}"
    rows = [
        ("is here", here),
        ("purpose", entry["purpose"]),
        ("licence", entry["licence"]),
        ("commercial use", f"{entry['commercial']}: {entry['why']}"),
        ("size", size_text(entry["size"]) if entry["size"] else "not published"),
        ("comes from", entry["page"] + (" (a zip)" if entry["contents"] else "")),
        ("must lie at", str(folder / entry["place"])),
        ("SHA-256", known_hash),
        ("note", entry["note"]),
    ]
    return "\n".join([entry["name"], *(_row(label, text) for label, text in rows if text)])


def _row(label: str, text: str) -> str:
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    first, others = f"  {label:<{_LABEL}}", " " * (_LABEL + 2)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
