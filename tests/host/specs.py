"""A node's inputs as /object_info tells them, one after the other in the order of the widgets on the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
WIDGETS = {
    "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "BOUNDING_BOX", "BOUNDING_BOXES", "CURVE", DYNAMIC_COMBO,
}  # fmt: skip


@dataclass(frozen=True)
class InputSpec:
    """One input; `name` has dots below a DynamicCombo, `section` is that of the input at the top."""

    name: str
    section: str
    required: bool
    type: str
    options: dict[str, Any]

    @property
    def has_widget(self) -> bool:
        return self.options.get("widgetType", self.type) in WIDGETS and not self.options.get("forceInput")

    @property
    def choices(self) -> list:
        """What may be chosen in a combo."""
        found = self.options.get("options") or []
        return [option["key"] for option in found] if self.type == DYNAMIC_COMBO else list(found)


def flat_inputs(info: dict[str, Any], chosen: Callable[[str], Any]) -> Iterator[InputSpec]:
    """All inputs of a node, given its /object_info entry.

    `chosen(name)` is asked for the value of a DynamicCombo right after that input was handed out.
    """
    for section in ("required", "optional"):
        for name, spec in info["input"].get(section, {}).items():
            yield from _expand(name, section, section == "required", spec, chosen)


def types_meet(one: str, other: str) -> bool:
    """Whether a link between sockets of these types is allowed."""
    ours, theirs = ({each.strip() for each in kinds.split(",")} for kinds in (one, other))
    return "*" in ours | theirs or bool(ours & theirs)


def _expand(name: str, section: str, required: bool, spec: Any, chosen: Callable[[str], Any]) -> Iterator[InputSpec]:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(kind, list):  # the old way to declare a combo
        kind, options = "COMBO", {**options, "options": kind}
    yield InputSpec(name, section, required, kind, options)
    if kind != DYNAMIC_COMBO:
        return
    option = next((option for option in options["options"] if option["key"] == chosen(name)), None)
    for part in ("required", "optional") if option else ():
        for inner, inner_spec in option["inputs"].get(part, {}).items():
            yield from _expand(f"{name}.{inner}", section, required and part == "required", inner_spec, chosen)
