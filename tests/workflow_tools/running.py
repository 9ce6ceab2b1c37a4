"""Running a graph in the server's form on node classes, with the server's cache between runs."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..host.locking import locked
from ..host.running import execute
from ..host.validating import InputRefused, Linked, checked

Api = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """Outputs by node; what is shown by node; and the nodes that ran because the cache did not have them, in order.

    As in the browser, a node that comes from the cache shows something only if it is an output node.
    """

    outputs: dict[str, tuple]
    ran: list[str]
    ui: dict[str, dict]


def run_graph(
    api: Api,
    classes: Mapping[str, type],
    cache: dict[str, Any] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Result:
    """Runs what the graph's output nodes need; InputRefused before anything has run if the server would refuse it.

    `overrides` sets widgets: {node: {input: value}}. A dict given as `cache` is filled, and lets the next run skip all
    nodes whose class, constants and ancestors are the same; as on the server it keeps nothing but the last graph's.
    """
    api = {name: node | {"inputs": {**node["inputs"], **(overrides or {}).get(name, {})}} for name, node in api.items()}
    order = list(_needed(api, classes))
    inputs = _checked_inputs(api, classes, order)
    signatures = _signatures(api, classes, order, inputs)
    known = {} if cache is None else dict(cache)
    done: dict[str, Any] = {}
    ran, blocked = [], set()
    for name in order:
        sources = {value.value[0] for value in inputs[name].values() if isinstance(value, Linked)}
        if blocked & sources:
            blocked.add(name)
            continue
        if signatures[name] not in known:
            values = {key: _arrived(value, done) for key, value in inputs[name].items()}
            cls = classes[api[name]["class_type"]]
            known[signatures[name]] = execute(cls, values, {"unique_id": name, "prompt": api})
            ran.append(name)
        done[name] = known[signatures[name]]
        if done[name].block_execution is not None:
            blocked.add(name)
    if cache is not None:
        cache.clear()
        cache.update((signatures[name], output) for name, output in done.items())
    shown = {name: _shown(done[name]) for name in done if name in ran or _is_output(api, classes, name)}
    return Result({name: output.args for name, output in done.items()}, ran, shown)


def _needed(api: Api, classes: Mapping[str, type]) -> Iterator[str]:
    """The output nodes and all that they need, each after its ancestors."""
    seen: dict[str, bool] = {}

    def visit(name: str) -> Iterator[str]:
        if name in seen:
            if not seen[name]:
                raise ValueError(f"the graph has a cycle through node {name}")
            return
        seen[name] = False
        for value in api[name]["inputs"].values():
            if isinstance(value, list):
                yield from visit(value[0])
        seen[name] = True
        yield name

    roots = [name for name in api if _is_output(api, classes, name)]
    if not roots:
        raise InputRefused(["prompt_no_outputs: no node of the graph saves or shows anything"])
    for root in roots:
        yield from visit(root)


def _is_output(api: Api, classes: Mapping[str, type], name: str) -> bool:
    return classes[api[name]["class_type"]].GET_SCHEMA().is_output_node


def _checked_inputs(api: Api, classes: Mapping[str, type], order: list[str]) -> dict[str, dict[str, Any]]:
    """Inputs by node, constants converted; a link is Linked([node, slot])."""
    found, problems = {}, []
    for name in order:
        cls = classes[api[name]["class_type"]]
        given = {key: _link(value, api, classes) for key, value in api[name]["inputs"].items()}
        found[name], objections = checked(cls, given)
        problems += [f"node {name} ({api[name]['class_type']}): {each}" for each in objections]
    if problems:
        raise InputRefused(problems)
    return found


def _link(value: Any, api: Api, classes: Mapping[str, type]) -> Any:
    if not isinstance(value, list):
        return value
    source, slot = value
    output = classes[api[source]["class_type"]].GET_SCHEMA().outputs[slot]
    if output.is_output_list:
        raise NotImplementedError(f"the list from node {source} would run the next node many times; not stood in for")
    return Linked((source, slot), output.io_type)


def _arrived(value: Any, done: Mapping[str, Any]) -> Any:
    if not isinstance(value, Linked):
        return value
    source, slot = value.value
    return Linked(done[source].args[slot], value.type)


def _signatures(
    api: Api, classes: Mapping[str, type], order: list[str], inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """What decides whether a node has to run: class, constants, fingerprint, and the signatures of its ancestors."""
    found: dict[str, str] = {}
    for name in order:
        cls = classes[api[name]["class_type"]]
        schema = cls.GET_SCHEMA()
        own = name if schema.not_idempotent or any(each.name == "unique_id" for each in schema.hidden) else ""
        parts = [
            (key, f"{found[value.value[0]]} {value.value[1]}" if isinstance(value, Linked) else repr(value))
            for key, value in sorted(inputs[name].items())
        ]
        text = repr((schema.node_id, own, _fingerprint(cls, inputs[name]), parts))
        found[name] = hashlib.sha256(text.encode()).hexdigest()
    return found


def _fingerprint(cls: type, inputs: Mapping[str, Any]) -> str:
    """What the node's fingerprint_inputs says; an error or NaN means that the node always runs."""
    if not cls.overrides("fingerprint_inputs"):
        return ""
    try:
        said = locked(cls).fingerprint_inputs(
            **{key: None if isinstance(value, Linked) else value for key, value in inputs.items()}
        )
    except Exception:
        return str(uuid.uuid4())
    return repr(said) if said == said else str(uuid.uuid4())


def _shown(output: Any) -> dict:
    ui = output.ui
    return ui if isinstance(ui, dict) else {} if ui is None else ui.as_dict()
