"""Everything that can be said against a workflow file without a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..host.specs import flat_inputs, types_meet
from .converting import to_api
from .graphs import BYPASSED, INPUTS, MUTED, NOTES, OUTPUTS, REROUTE, Graph, Link, graph_of, subgraphs
from .widgets import widget_values

VERSION = 0.4
TOP = {
    "last_node_id": int,
    "last_link_id": int,
    "nodes": list,
    "links": list,
    "groups": list,
    "config": dict,
    "extra": dict,
}
NODE = {
    "id": int,
    "type": str,
    "pos": list,
    "size": list,
    "flags": dict,
    "order": int,
    "mode": int,
    "properties": dict,
}
LINK = (int, int, int, int, int, str)
MODES = (0, MUTED, BYPASSED)
UPLOAD = "upload"
"""The browser's own input on a node with an upload button; the server does not know it."""


def check_workflow(workflow: dict[str, Any], object_info: dict[str, dict]) -> list[str]:
    """Sentences about what is wrong; none if the file is fine. `object_info` is as the server tells it."""
    problems = [*_form(workflow)]
    if problems:
        return problems
    definitions = subgraphs(workflow)
    known = object_info | {name: _as_node(data) for name, data in definitions.items()}
    problems += _ids(workflow)
    for where, data in {"": workflow, **{f" in subgraph {name}": data for name, data in definitions.items()}}.items():
        graph = graph_of(data)
        found = [*_links(graph, known), *(each for node in graph.nodes.values() for each in _node(node, known))]
        problems += [each + where for each in found]
    return problems or [*_unconnected(workflow, object_info)]


# --- the form of the file ---


def _form(workflow: dict[str, Any]) -> Iterator[str]:
    if workflow.get("version") != VERSION:
        yield f"version is {workflow.get('version')!r}, not {VERSION}"
    yield from _fields(workflow, TOP, "the workflow")
    inner = [node for each in subgraphs(workflow).values() for node in each["nodes"]]
    for node in [*(workflow.get("nodes") or []), *inner]:
        yield from _fields(node, NODE, f"node {node.get('id')}")
        if node.get("mode") not in MODES:
            yield f"node {node.get('id')} has the mode {node.get('mode')!r}, which is none of {MODES}"
    for link in workflow.get("links") or []:
        fits = isinstance(link, list) and [*map(type, link)] == [*LINK]
        if not fits:
            yield f"link {link!r} is not [id, from, slot, to, slot, type]"


def _fields(data: dict[str, Any], wanted: dict[str, type], name: str) -> Iterator[str]:
    for field, kind in wanted.items():
        if not isinstance(data.get(field), kind):
            yield f"{name} has no {field}, or it is no {kind.__name__}"


def _ids(workflow: dict[str, Any]) -> Iterator[str]:
    for kind, ids, last in (
        ("node", [node["id"] for node in workflow["nodes"]], workflow["last_node_id"]),
        ("link", [link[0] for link in workflow["links"]], workflow["last_link_id"]),
    ):
        yield from (f"two {kind}s have the id {each}" for each, count in Counter(ids).items() if count > 1)
        if max(ids, default=0) > last:
            yield f"last_{kind}_id is {last}, below the {kind} {max(ids)}"


# --- links ---


def _links(graph: Graph, known: dict[str, dict]) -> Iterator[str]:
    """Each link must be told three times alike: in the list, at its origin and at its target."""
    sides = {**graph.nodes, **({INPUTS: None, OUTPUTS: None} if graph.inputs or graph.outputs else {})}
    for link in graph.links.values():
        missing = {link.origin, link.target} - sides.keys()
        if missing:
            yield f"link {link.id} ends at node {missing.pop()}, which is not there"
            continue
        yield from _ends(link, graph, known)
    for node in graph.nodes.values():
        for slot, socket in enumerate(node.get("inputs", [])):
            link = graph.links.get(socket.get("link"))
            if socket.get("link") is not None and (
                link is None or (link.target, link.target_slot) != (node["id"], slot)
            ):
                yield f"input {slot} of node {node['id']} names link {socket['link']}, which does not go there"
        for slot, socket in enumerate(node.get("outputs", [])):
            for number in socket.get("links") or []:
                link = graph.links.get(number)
                if link is None or (link.origin, link.origin_slot) != (node["id"], slot):
                    yield f"output {slot} of node {node['id']} names link {number}, which does not come from there"


def _ends(link: Link, graph: Graph, known: dict[str, dict]) -> Iterator[str]:
    if link.origin != INPUTS:
        outputs = graph.nodes[link.origin].get("outputs", [])
        if link.origin_slot >= len(outputs) or link.id not in (outputs[link.origin_slot].get("links") or []):
            yield f"link {link.id} is not named by output {link.origin_slot} of node {link.origin}"
            return
    if link.target != OUTPUTS:
        inputs = graph.nodes[link.target].get("inputs", [])
        if link.target_slot >= len(inputs) or inputs[link.target_slot].get("link") != link.id:
            yield f"link {link.id} is not named by input {link.target_slot} of node {link.target}"
            return
    given = _type_at_origin(link, graph, known)
    taken = _type_at_target(link, graph, known)
    for one, other in ((given, taken), (given, link.type)):
        if not types_meet(one, other):
            yield f"link {link.id} carries {one} from node {link.origin} to node {link.target}, where {other} is wanted"
            return


def _type_at_origin(link: Link, graph: Graph, known: dict[str, dict]) -> str:
    if link.origin == INPUTS:
        return graph.inputs[link.origin_slot]["type"]
    node = graph.nodes[link.origin]
    outputs = known.get(node["type"], {}).get("output", ["*"] * (link.origin_slot + 1))
    return outputs[link.origin_slot] if link.origin_slot < len(outputs) else "nothing"


def _type_at_target(link: Link, graph: Graph, known: dict[str, dict]) -> str:
    if link.target == OUTPUTS:
        return graph.outputs[link.target_slot]["type"]
    node = graph.nodes[link.target]
    name = node["inputs"][link.target_slot]["name"]
    return _input_types(node, known).get(name, "*") if node["type"] in known else "*"


# --- nodes ---


def _node(node: dict[str, Any], known: dict[str, dict]) -> Iterator[str]:
    """A node against what its class declares."""
    name = f"node {node['id']} ({node['type']})"
    if node["type"] in {*NOTES, REROUTE}:
        return
    info = known.get(node["type"])
    if info is None:
        yield f"{name}: there is no such node type"
        return
    _, problems = widget_values(info, node.get("widgets_values"))
    yield from (f"{name}: {each}" for each in problems)
    types = _input_types(node, known)
    for socket in node.get("inputs", []):
        if socket["name"] not in types and (socket["name"] != UPLOAD or "widget" not in socket):
            yield f"{name}: there is no input {socket['name']}"
        elif socket["name"] in types and not types_meet(socket["type"], types[socket["name"]]):
            yield f"{name}: input {socket['name']} is {types[socket['name']]}, not {socket['type']}"
    if "subgraph" in info and [socket["name"] for socket in node.get("inputs", [])] != [*types]:
        yield f"{name}: inputs must be those of its subgraph, {[*types]}"
    listed = [socket["type"] for socket in node.get("outputs", [])]
    if listed != info["output"]:
        yield f"{name}: outputs are {info['output']}, not {listed}"


def _input_types(node: dict[str, Any], known: dict[str, dict]) -> dict[str, str]:
    info = known[node["type"]]
    values, _ = widget_values(info, node.get("widgets_values"))
    return {spec.name: spec.type for spec in flat_inputs(info, chosen=values.get)}


def _as_node(subgraph: dict[str, Any]) -> dict[str, Any]:
    """A subgraph's inputs and outputs in the form of /object_info; all of them sockets that may stay open."""
    inputs = {each["name"]: (each["type"], {"forceInput": True}) for each in subgraph.get("inputs", [])}
    outputs = [each["type"] for each in subgraph.get("outputs", [])]
    return {"subgraph": True, "input": {"optional": inputs}, "output": outputs}


def _unconnected(workflow: dict[str, Any], object_info: dict[str, dict]) -> Iterator[str]:
    """Required inputs that would reach the server without a value."""
    for name, entry in to_api(workflow, object_info).items():
        inputs = entry["inputs"]
        for spec in flat_inputs(object_info[entry["class_type"]], chosen=inputs.get):
            if spec.required and spec.name not in inputs:
                yield f"node {name} ({entry['class_type']}): the required input {spec.name} is not connected"
