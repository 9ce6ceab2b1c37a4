"""The folder as others see it: pip, ComfyUI, somebody who clones it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import pytest

    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]


def test_looking_at_the_node_pack_loads_neither_torch_nor_comfy():
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("node_pack", {str(ROOT / "__init__.py")!r},
                                              submodule_search_locations=[{str(ROOT)!r}])
module = importlib.util.module_from_spec(spec)
sys.modules["node_pack"] = module
spec.loader.exec_module(module)
print(*{{name.split(".")[0] for name in sys.modules}} & {{"torch", "comfy", "comfy_api"}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_both_lists_of_dependencies_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = (ROOT / "requirements.txt").read_text().split()
    assert sorted(listed) == sorted(project["dependencies"])
    assert all(">=" in line and "==" not in line and "<" not in line for line in listed)


def test_everything_the_package_needs_at_run_time_is_installed_with_it():
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["dva_core"]
    files = {path for path in (ROOT / "dva_core").rglob("*") if path.is_file()}
    shipped = {path for path in files if path.suffix not in (".py", ".pyc", ".part")}
    covered = {path for pattern in package for path in (ROOT / "dva_core").glob(pattern)}
    assert shipped == covered


def test_imports_inside_the_package_are_relative():
    absolute = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in (ROOT / "dva_core").rglob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith(("import dva_core", "from dva_core"))
    ]
    assert absolute == []
