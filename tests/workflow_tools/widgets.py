"""`widgets_values`: a list without names, whose order the node's declaration tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..host.specs import InputSpec, flat_inputs

CONTROLS = ("fixed", "increment", "decrement", "randomize")
UPLOADS = ("image_upload", "video_upload")
NUMBERS = {"INT": (int,), "FLOAT": (int, float)}


def widget_values(info: dict[str, Any], values: Any) -> tuple[dict[str, Any], list[str]]:
    """Values by input name, and a sentence for whatever does not fit; `info` is the node's /object_info entry.

    Two kinds of widgets have a value in the list and no input: what a seed does after each run stands right after it,
    and the upload button of a file stands after all required widgets. Optional widgets at the end may be missing.
    """
    named: dict[str, Any] = {}
    problems: list[str] = []
    left = _as_list(values, problems)
    uploads = False

    def take(name: str, objection: Callable[[Any], str | None]) -> Any:
        if not left:
            problems.append(f"widgets_values ends before {name}")
            return None
        value = left.pop(0)
        complaint = objection(value)
        if complaint:
            problems.append(f"{name} is {value!r}, {complaint}")
        return value

    for spec in flat_inputs(info, chosen=named.get):
        if uploads and spec.section == "optional":
            take("the upload button", _no_upload)
            uploads = False
        uploads = uploads or _has_upload(spec)
        if not spec.has_widget:
            continue
        if not left and spec.section == "optional":  # as in a file from before the node had this widget
            named[spec.name] = spec.options.get("default")
            continue
        named[spec.name] = take(spec.name, lambda value, spec=spec: _no_value(spec, value))
        if _has_control(spec):
            take(f"control after generate of {spec.name}", _no_control)
    if uploads:
        take("the upload button", _no_upload)
    if left:
        problems.append(f"widgets_values has {len(left)} more than the node has widgets: {left}")
    return named, problems


def _as_list(values: Any, problems: list[str]) -> list:
    if values is not None and not isinstance(values, list):
        problems.append(f"widgets_values is no list but {type(values).__name__}")
    return list(values) if isinstance(values, list) else []


def _has_upload(spec: InputSpec) -> bool:
    return spec.required and any(spec.options.get(kind) for kind in UPLOADS)


def _has_control(spec: InputSpec) -> bool:
    """The browser gives inputs of these two names the control even when they do not ask for it."""
    asked = spec.options.get("control_after_generate")
    return spec.type == "INT" and bool(spec.name in ("seed", "noise_seed") if asked is None else asked)


def _no_upload(value: Any) -> str | None:
    return None if value == "image" else 'which must be "image"'


def _no_control(value: Any) -> str | None:
    if value not in CONTROLS:
        return f"none of {', '.join(CONTROLS)}"
    return None if value == "fixed" else "which must be fixed in a workflow that others open"


def _no_value(spec: InputSpec, value: Any) -> str | None:
    """Why the value is none for this widget."""
    if spec.type in NUMBERS:
        return _no_number(spec, value)
    if spec.type == "BOOLEAN":
        return None if isinstance(value, bool) else "no boolean"
    if spec.type == "STRING":
        return None if isinstance(value, str) else "no text"
    if _has_upload(spec):
        return None if isinstance(value, str) and value else "no file name"
    if spec.choices:
        several = spec.options.get("multiselect") and isinstance(value, list)
        unknown = [each for each in (value if several else [value]) if each not in spec.choices]
        return f"not among {spec.choices}" if unknown else None
    return None


def _no_number(spec: InputSpec, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, NUMBERS[spec.type]):
        return f"no {spec.type}"
    least, most = spec.options.get("min"), spec.options.get("max")
    if (least is not None and value < least) or (most is not None and value > most):
        return f"outside of {least} to {most}"
    return None
