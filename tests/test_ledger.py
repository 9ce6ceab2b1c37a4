"""Several programs, and several threads of one, write into one list of hashes, and nothing gets lost."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dva_core.files import alone, whole_or_nothing
from dva_core.weights import ledger

TOP = Path(__file__).parents[1]
RECORD_MANY = """
import pathlib, sys
from dva_core.weights import ledger
folder = pathlib.Path(sys.argv[1])
for number in range(40):
    ledger.record(folder / "a.pth", "0" * 64, [folder / "list"])
    ledger.record(folder / f"{sys.argv[2]}-{number}", "0" * 64, [folder / "list"])
"""


def test_what_several_programs_record_at_once_is_all_there(tmp_path):
    put(tmp_path, ["a.pth", *(f"{program}-{number}" for program in range(3) for number in range(40))])
    command = [sys.executable, "-c", RECORD_MANY, str(tmp_path)]
    programs = [subprocess.Popen([*command, str(program)], cwd=TOP) for program in range(3)]
    assert [program.wait(60) for program in programs] == [0, 0, 0]
    assert len(json.loads((tmp_path / "list/hashes.json").read_text())) == 121


def test_what_several_threads_record_at_once_is_all_there(tmp_path):
    names = [f"{number}.pth" for number in range(80)]
    put(tmp_path, names)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: ledger.record(tmp_path / name, "0" * 64, [tmp_path / "list"]), names))
    assert sorted(json.loads((tmp_path / "list/hashes.json").read_text())) == sorted(
        (tmp_path / name).as_posix() for name in names
    )
    assert [path.name for path in (tmp_path / "list").iterdir()] == ["hashes.json"]


def test_two_threads_that_write_one_file_do_not_share_an_unfinished_one(tmp_path):
    with whole_or_nothing(tmp_path / "a.json") as one, whole_or_nothing(tmp_path / "a.json") as other:
        assert one != other
        for path in (one, other):
            assert path.name.startswith(".a.") and path.suffix == ".json"
            path.touch()


def test_only_one_is_inside_at_a_time_however_many_come_and_go(tmp_path):
    inside, met = [], []

    def go(number: int) -> None:
        for _ in range(50):
            with alone(tmp_path / "a", patience=60):
                inside.append(number)
                met.append(len(inside))
                inside.pop()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(go, range(4)))
    assert met == [1] * 200 and not list(tmp_path.iterdir())


def test_who_waited_in_vain_is_told(tmp_path):
    with alone(tmp_path / "a"), pytest.raises(BlockingIOError), alone(tmp_path / "a", patience=0.02):
        pass
    with alone(tmp_path / "a"):
        pass


def put(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).write_bytes(b"")
