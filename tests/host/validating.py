"""What the server does with a node's inputs before it runs anything: convert the constants, check them, or refuse."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .locking import locked
from .specs import DYNAMIC_COMBO, InputSpec, flat_inputs, types_meet

CONVERTED = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True)
class Linked:
    """A value that comes through a link: it is neither converted nor checked, and validate_inputs sees None for it."""

    value: Any
    type: str = "*"


class InputRefused(ValueError):
    """The server would answer HTTP 400; `problems` has a sentence for each reason."""

    def __init__(self, problems: list[str]):
        super().__init__("; ".join(problems))
        self.problems = problems


def input_specs(cls: type, inputs: Mapping[str, Any]) -> dict[str, InputSpec]:
    """The inputs that the node has, given what is chosen in its dynamic combos."""
    found = flat_inputs(cls.GET_NODE_INFO_V1(), chosen=lambda name: inputs.get(name))
    return {spec.name: spec for spec in found}


def checked(cls: type, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The inputs with their constants converted, and a sentence for each reason to refuse them."""
    specs = input_specs(cls, inputs)
    validated_by_node = _named_by_validate_inputs(cls, specs)
    converted, problems = dict(inputs), []
    for name in inputs:
        if name not in specs and not cls.GET_SCHEMA().accept_all_inputs:
            problems.append(f"unknown_input: there is no input {name}")
    for name, spec in specs.items():
        if name not in inputs:
            if spec.required:
                problems.append(f"required_input_missing: {name}")
            continue
        try:
            converted[name] = _converted(spec, inputs[name])
        except (TypeError, ValueError):
            problems.append(f"invalid_input_type: {name} = {inputs[name]!r} is no {spec.type}")
            continue
        problems += _objections(spec, converted[name], name in validated_by_node)
    if not problems:
        problems += _verdict(cls, converted, validated_by_node)
    return converted, problems


def _converted(spec: InputSpec, value: Any) -> Any:
    if isinstance(value, Linked):
        return value
    if isinstance(value, Mapping) and "__value__" in value:
        value = value["__value__"]
    return CONVERTED[spec.type](value) if spec.type in CONVERTED else value


def _objections(spec: InputSpec, value: Any, validated_by_node: bool) -> list[str]:
    if isinstance(value, Linked):
        meets = types_meet(value.type, spec.type)
        return [] if meets else [f"return_type_mismatch: {spec.name} takes {spec.type}, not {value.type}"]
    if validated_by_node:
        return []
    least, most = spec.options.get("min"), spec.options.get("max")
    if least is not None and value < least:
        return [f"value_smaller_than_min: {spec.name} = {value}, the least is {least}"]
    if most is not None and value > most:
        return [f"value_bigger_than_max: {spec.name} = {value}, the most is {most}"]
    if spec.type in ("COMBO", DYNAMIC_COMBO):
        values = value if spec.options.get("multiselect") and isinstance(value, list) else [value]
        unknown = [each for each in values if each not in spec.choices]
        return [f"value_not_in_list: {spec.name} = {each!r}, not in {spec.choices}" for each in unknown]
    return []


def _named_by_validate_inputs(cls: type, names: Iterable[str]) -> set[str]:
    """Inputs in the signature of validate_inputs: naming one switches its built-in checks off, **kwargs all."""
    if not cls.overrides("validate_inputs"):
        return set()
    found = inspect.getfullargspec(cls.validate_inputs)
    return set(names) if found.varkw else set(names) & {*found.args, *found.kwonlyargs}


def _verdict(cls: type, inputs: Mapping[str, Any], named: set[str]) -> list[str]:
    """What the node's own validate_inputs says; like the server, it is only heard when it was given an input."""
    given = {name: None if isinstance(value, Linked) else value for name, value in inputs.items() if name in named}
    if not given:
        return []
    if "input_types" in inspect.getfullargspec(cls.validate_inputs).args:
        given["input_types"] = {name: each.type for name, each in inputs.items() if isinstance(each, Linked)}
    said = locked(cls).validate_inputs(**given)
    return [] if said is True else [f"custom_validation_failed: {', '.join(given)} - {said}"]
