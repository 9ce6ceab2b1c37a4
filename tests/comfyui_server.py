"""A real ComfyUI for tests: started on loopback with nothing but the pack, asked over HTTP, and stopped again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PACK = "comfyui-dva"
SECONDS_TO_START = 180
SECONDS_TO_STOP = 20
FOLDERS = ("custom_nodes", "input", "models", "output", "temp", "user/default")
# Without it the browser greets a new user with a tour over the whole graph.
SETTINGS = {"Comfy.TutorialCompleted": True}

Found = TypeVar("Found")
# A proxy of the environment must not come between us and our own machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerFailed(AssertionError):
    """The server did not start, did not answer in time, or refused a prompt."""


@dataclass(frozen=True)
class Server:
    """A running server and the folder that it works in."""

    url: str
    base: Path


@contextmanager
def running_server(checkout: Path, python: str, pack: Path, base: Path) -> Iterator[Server]:
    """The server of a ComfyUI checkout with the pack linked into it, for as long as the block runs."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True)
    (base / "custom_nodes" / PACK).symlink_to(pack, target_is_directory=True)
    (base / "user" / "default" / "comfy.settings.json").write_text(json.dumps(SETTINGS))
    port = _free_port()
    server = Server(f"http://127.0.0.1:{port}", base)
    with (base / "server.log").open("w") as log:
        command, environment = [python, *_arguments(base, port)], _environment(base)
        process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        _wait_until_up(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(server: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the server answers to GET, or to POST if there is a body; ServerFailed when it refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})
    try:
        with _opener.open(request, timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as refusal:
        raise ServerFailed(f"{path}: HTTP {refusal.code} {refusal.read().decode(errors='replace')}") from refusal
    return json.loads(text) if text else None


def start_prompt(server: Server, api: dict[str, dict]) -> str:
    """Queues a graph and returns its id; ServerFailed if there is anything wrong with any of its nodes."""
    answer = ask(server, "/prompt", {"prompt": api})
    # A graph with one wrong branch is answered with HTTP 200 as well, and its other branches run.
    if answer["node_errors"]:
        raise ServerFailed(json.dumps(answer["node_errors"], indent=1))
    return answer["prompt_id"]


def finished(server: Server, prompt: str, seconds: float) -> dict[str, Any]:
    """The prompt's entry in the history, once it has ended in whatever way."""
    return wait_for(lambda: ask(server, f"/history/{prompt}").get(prompt), seconds, "the prompt did not end")


def run_prompt(server: Server, api: dict[str, dict], seconds: float) -> dict[str, Any]:
    """Runs a graph to its end; ServerFailed with what the node said if it fails."""
    entry = finished(server, start_prompt(server, api), seconds)
    if entry["status"]["status_str"] != "success":
        error = messages(entry).get("execution_error", {})
        raise ServerFailed(f"node {error.get('node_id')} ({error.get('node_type')}): {error.get('exception_message')}")
    return entry


def messages(entry: dict[str, Any]) -> dict[str, dict]:
    """What was said while a prompt ran: execution_start, execution_cached, execution_success, execution_error ..."""
    return dict(entry["status"]["messages"])


def seconds_taken(entry: dict[str, Any]) -> float:
    """From the start of a successful prompt to its end."""
    said = messages(entry)
    return (said["execution_success"]["timestamp"] - said["execution_start"]["timestamp"]) / 1000


def saved_files(server: Server, entry: dict[str, Any], node: str) -> list[Path]:
    """The files that an output node has saved."""
    files = entry["outputs"][node]["images"]
    return [server.base / file["type"] / file["subfolder"] / file["filename"] for file in files]


def wait_for(look: Callable[[], Found | None], seconds: float, complaint: str) -> Found:
    """The first thing that `look` finds; ServerFailed with the complaint when time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise ServerFailed(f"{complaint} within {seconds:g} s")


def _arguments(base: Path, port: int) -> list[str]:
    return [
        "main.py",
        "--cpu",
        # The default cache drops results when memory runs short, which a test of the cache cannot have.
        "--cache-classic",
        "--disable-auto-launch",
        "--disable-api-nodes",
        "--disable-all-custom-nodes",
        "--whitelist-custom-nodes",
        PACK,
        "--listen",
        "127.0.0.1",
        "--port",
        str(port),
        "--base-directory",
        str(base),
        "--database-url",
        f"sqlite:///{base / 'comfyui.db'}",
    ]


def _environment(base: Path) -> dict[str, str]:
    """Without this process's own search path, as the pack must find its engine by itself, and without weights that
    the user of this machine has fetched."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DVA_MODELS")}
    return {**kept, "HOME": str(base)}


def _wait_until_up(server: Server, process: subprocess.Popen) -> None:
    def up() -> bool:
        if process.poll() is not None:
            raise ServerFailed(f"the server stopped while starting:\n{_end_of_log(server)}")
        try:
            return bool(ask(server, "/system_stats"))
        except (OSError, ServerFailed):
            return False

    wait_for(up, SECONDS_TO_START, "the server did not come up")


def _end_of_log(server: Server) -> str:
    return (server.base / "server.log").read_text(errors="replace")[-4000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
