"""A workflow's graph as objects: the same for the workflow itself and for the subgraphs that it defines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INPUTS, OUTPUTS = -10, -20
"""Ids of a subgraph's own input and output side, which its links name like nodes."""
NOTES = {"Note", "MarkdownNote"}
REROUTE = "Reroute"
MUTED, BYPASSED = 2, 4


@dataclass(frozen=True)
class Link:
    id: int
    origin: int
    origin_slot: int
    target: int
    target_slot: int
    type: str


@dataclass(frozen=True)
class Graph:
    """Nodes by id and links by id; `inputs` and `outputs` are a subgraph's own, empty for the workflow itself."""

    nodes: dict[int, dict[str, Any]]
    links: dict[int, Link]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def graph_of(data: dict[str, Any]) -> Graph:
    """The graph in a workflow, or in one of its `subgraphs`."""
    nodes = {node["id"]: node for node in data["nodes"]}
    links = {link.id: link for link in map(_link, data["links"])}
    return Graph(nodes, links, data.get("inputs", []), data.get("outputs", []))


def subgraphs(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Definitions of subgraphs, by the id that nodes have as their type."""
    return {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}


def _link(data: Any) -> Link:
    """Links are lists in a workflow and objects in a subgraph."""
    if isinstance(data, dict):
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        return Link(*(data[name] for name in names))
    return Link(*data)
