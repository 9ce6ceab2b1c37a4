"""Running one node as the server does: checked inputs, inference mode, a locked class; and stricter where it is lax."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from .loading import engine_out_of_reach
from .locking import locked
from .specs import DYNAMIC_COMBO
from .validating import InputRefused, Linked, checked, input_specs


class NodeMisbehaved(Exception):
    """A node did what the server lets pass, but what breaks other nodes."""


def run_node(cls: type, /, **inputs: Any) -> Any:
    """Runs a node and returns its io.NodeOutput; InputRefused when the server would not even start it.

    Values of widgets are constants as a user enters them; everything else comes through a link, and so does what is
    wrapped in `Linked`.
    """
    specs = input_specs(cls, inputs)
    given = {
        name: value
        if isinstance(value, Linked) or name not in specs or specs[name].has_widget
        else Linked(value, specs[name].type)
        for name, value in inputs.items()
    }
    converted, problems = checked(cls, given)
    if problems:
        raise InputRefused(problems)
    return execute(cls, converted, {"unique_id": "1", "prompt": {}})


def execute(cls: type, inputs: Mapping[str, Any], hidden: Mapping[str, Any]) -> Any:
    """Calls the node's `execute` with inputs that `checked` has passed."""
    schema = cls.GET_SCHEMA()
    if schema.is_input_list:
        raise NotImplementedError(f"{schema.node_id} takes lists, which this host does not stand in for")
    with torch.inference_mode():
        values = {
            name: _as_inference(each.value if isinstance(each, Linked) else each) for name, each in inputs.items()
        }
        before = [(tensor, tensor.clone()) for tensor in _tensors(values)]
        with engine_out_of_reach():
            output = locked(cls, hidden).execute(**_nested(cls, values))
            if inspect.iscoroutine(output):
                output = asyncio.run(output)
        for tensor, copy in before:
            if not torch.equal(tensor.nan_to_num(), copy.nan_to_num()):
                raise NodeMisbehaved(f"{schema.node_id} wrote into an input, which other nodes share")
    _check_output(schema, output)
    return output


def _check_output(schema: Any, output: Any) -> None:
    from comfy_api.latest import io

    if not isinstance(output, io.NodeOutput):
        raise NodeMisbehaved(f"{schema.node_id} returned a {type(output).__name__}, not an io.NodeOutput")
    if len(output.args) != len(schema.outputs):
        raise NodeMisbehaved(f"{schema.node_id} returned {len(output.args)} values for {len(schema.outputs)} outputs")
    for declared, value in zip(schema.outputs, output.args, strict=True):
        if declared.is_output_list and not isinstance(value, list):
            raise NodeMisbehaved(f"{schema.node_id} returned a {type(value).__name__} for {declared.id}, not a list")
    if output.expand is not None and not schema.enable_expand:
        raise NodeMisbehaved(f"{schema.node_id} expands, and its schema does not say enable_expand")
    if output.ui is not None and not isinstance(output.ui, dict):
        output.ui.as_dict()


def _nested(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `execute`: a DynamicCombo is one dict of its own choice and the inputs that came with it."""
    dynamic = {name for name, spec in input_specs(cls, values).items() if spec.type == DYNAMIC_COMBO}
    nested: dict[str, Any] = {}
    for name, value in values.items():
        path = name.split(".")
        place = nested
        for part in path if name in dynamic else path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return nested


def _as_inference(value: Any) -> Any:
    """The value with all its tensors made in inference mode, as everything is that another node has made."""
    if isinstance(value, torch.Tensor):
        return value if value.is_inference() else value.clone()
    if isinstance(value, dict):
        return {key: _as_inference(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_as_inference(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        changed = {name: new for name, part in parts.items() if (new := _as_inference(part)) is not part}
        return replace(value, **changed) if changed else value
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
