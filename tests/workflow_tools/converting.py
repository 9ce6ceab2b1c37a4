"""From the form in which a workflow is saved to the form in which the server takes it.

The browser does this in ComfyUI (`app.graphToPrompt()`). Muted nodes and notes vanish, bypassed nodes hand on the first
input of the right type, reroutes hand on their only one, subgraphs are unfolded into nodes "instance:inner". A widget
that a subgraph shows on its outside keeps the value that it has inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..host.specs import types_meet
from .graphs import BYPASSED, INPUTS, MUTED, NOTES, OUTPUTS, REROUTE, Graph, graph_of, subgraphs
from .widgets import widget_values

Source = tuple[str, int]
"""Where a value comes from in the server's form: the id of a node, and which of its outputs."""


def to_api(workflow: dict[str, Any], object_info: dict[str, dict]) -> dict[str, dict[str, Any]]:
    """{id: {"class_type", "inputs", "_meta"}} for a workflow that `check_workflow` has nothing against."""
    definitions = {name: graph_of(data) for name, data in subgraphs(workflow).items()}
    api = {}
    for place in _places(_Scope(graph_of(workflow)), definitions):
        node = place.node
        values, _ = widget_values(object_info[node["type"]], node.get("widgets_values"))
        inputs = {name: {"__value__": value} if isinstance(value, list) else value for name, value in values.items()}
        for slot, socket in enumerate(node.get("inputs", [])):
            source = _source_of_input(place, slot, definitions)
            if source is not None:
                inputs[socket["name"]] = [*source]
        title = node.get("title") or object_info[node["type"]].get("display_name") or node["type"]
        api[place.id] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return {name: entry | {"inputs": _without_absent(entry["inputs"], api)} for name, entry in api.items()}


@dataclass(frozen=True)
class _Scope:
    """A graph, and the node outside that stands for it if it is a subgraph."""

    graph: Graph
    host: _Place | None = None


@dataclass(frozen=True)
class _Place:
    """A node in one of the graphs."""

    scope: _Scope
    node: dict[str, Any]

    @property
    def id(self) -> str:
        outside = self.scope.host
        return f"{outside.id}:{self.node['id']}" if outside else str(self.node["id"])


def _places(scope: _Scope, definitions: dict[str, Graph]) -> Iterator[_Place]:
    """All nodes that the server is to know, those in subgraphs too."""
    for node in scope.graph.nodes.values():
        place = _Place(scope, node)
        if node["mode"] in (MUTED, BYPASSED) or node["type"] in {*NOTES, REROUTE}:
            continue
        if node["type"] in definitions:
            yield from _places(_Scope(definitions[node["type"]], place), definitions)
        else:
            yield place


def _source_of_input(place: _Place, slot: int, definitions: dict[str, Graph], wanted: str = "") -> Source | None:
    """What an input is connected to in the end; None if to nothing."""
    socket = place.node["inputs"][slot]
    link = place.scope.graph.links.get(socket.get("link"))
    if link is None:
        return None
    if link.origin == INPUTS:
        return _source_of_input(place.scope.host, link.origin_slot, definitions)
    origin = _Place(place.scope, place.scope.graph.nodes[link.origin])
    return _source_of_output(origin, link.origin_slot, definitions, wanted or socket["type"])


def _source_of_output(place: _Place, slot: int, definitions: dict[str, Graph], wanted: str) -> Source | None:
    node = place.node
    if node["mode"] == MUTED:
        return None
    if node["mode"] == BYPASSED:
        through = _bypass(node, slot, wanted)
        return None if through is None else _source_of_input(place, through, definitions)
    if node["type"] == REROUTE:
        return _source_of_input(place, 0, definitions, wanted)
    if node["type"] not in definitions:
        return place.id, slot
    inside = _Scope(definitions[node["type"]], place)
    link = next(
        (each for each in inside.graph.links.values() if (each.target, each.target_slot) == (OUTPUTS, slot)), None
    )
    if link is None:
        return None
    return _source_of_output(_Place(inside, inside.graph.nodes[link.origin]), link.origin_slot, definitions, wanted)


def _bypass(node: dict[str, Any], slot: int, wanted: str) -> int | None:
    """The input that stands in for an output of a bypassed node: the opposite one, else the first that fits."""
    inputs, given = node.get("inputs", []), node["outputs"][slot]["type"]
    if wanted == "*":
        return (slot if slot < len(inputs) else 0) if inputs else None

    def fits(socket: dict[str, Any]) -> bool:
        return types_meet(socket["type"], given) and types_meet(socket["type"], wanted)

    if slot < len(inputs) and fits(inputs[slot]):
        return slot
    exact = (n for n, socket in enumerate(inputs) if socket["type"] == wanted)
    return next(exact, next((n for n, socket in enumerate(inputs) if fits(socket)), None))


def _without_absent(inputs: dict[str, Any], api: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if not isinstance(value, list) or value[0] in api}
