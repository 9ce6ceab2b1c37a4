"""Inputs and outputs of nodes. Each takes exactly the arguments that it takes in ComfyUI 0.33, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from inspect import Parameter, Signature
from typing import Any


def arguments(*required: str, optional: tuple[str, ...]) -> Signature:
    """A signature; optional arguments default to None, but for the few that default to False."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return Signature(
        [Parameter(name, kind) for name in required]
        + [Parameter(name, kind, default=False if name in FALSE else None) for name in optional]
    )


FALSE = {"optional", "multiline", "is_output_list"}
ABOUT = ("display_name", "optional", "tooltip", "lazy")
REST = ("extra_dict", "raw_link", "advanced")
WIDGET_REST = ("socketless", "force_input", *REST)
NOT_SENT = {"id", "options", "types", "optional", "extra_dict", "upload", "image_folder", "placeholder", "chip"}
SENT_AS = {
    "raw_link": "rawLink",
    "force_input": "forceInput",
    "dynamic_prompts": "dynamicPrompts",
    "display_mode": "display",
}


class _Declared:
    """Keeps its arguments as attributes and refuses those that its signature does not know."""

    signature: Signature

    def __init__(self, *args: Any, **kwargs: Any):
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        vars(self).update(bound.arguments)
        self.given = bound.arguments


class Input(_Declared):
    """A socket without a widget."""

    io_type: str
    signature = arguments("id", optional=(*ABOUT, *REST))

    def get_io_type(self) -> str:
        return self.io_type

    def as_dict(self) -> dict[str, Any]:
        """The options as the server sends them to the browser."""
        sent = {SENT_AS.get(name, name): value for name, value in self.given.items() if name not in NOT_SENT}
        return _known(sent | self._more()) | _known(self.extra_dict or {})

    def _more(self) -> dict[str, Any]:
        return {}


class WidgetInput(Input):
    """An input that the user can fill in on the node."""


class BooleanInput(WidgetInput):
    signature = arguments("id", optional=(*ABOUT, "default", "label_on", "label_off", *WIDGET_REST))


class IntInput(WidgetInput):
    signature = arguments(
        "id",
        optional=(*ABOUT, "default", "min", "max", "step", "control_after_generate", "display_mode", *WIDGET_REST),
    )


class FloatInput(WidgetInput):
    signature = arguments(
        "id",
        optional=(*ABOUT, "default", "min", "max", "step", "round", "display_mode", "gradient_stops", *WIDGET_REST),
    )


class StringInput(WidgetInput):
    signature = arguments(
        "id", optional=(*ABOUT, "multiline", "placeholder", "default", "dynamic_prompts", *WIDGET_REST)
    )

    def _more(self) -> dict[str, Any]:
        return {"placeholder": self.placeholder}


class ComboInput(WidgetInput):
    signature = arguments(
        "id",
        optional=(
            "options",
            *ABOUT,
            "default",
            "control_after_generate",
            "upload",
            "image_folder",
            "remote",
            "socketless",
            *REST,
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if isinstance(self.options, type) and issubclass(self.options, Enum):
            self.options = [member.value for member in self.options]
        if isinstance(self.default, Enum):
            self.default = self.given["default"] = self.default.value

    def _more(self) -> dict[str, Any]:
        upload = {} if self.upload is None else {self.upload.value: True}
        folder = self.image_folder.value if self.image_folder else None
        return {"multiselect": False, "options": self.options, "image_folder": folder, **upload}


class MultiComboInput(WidgetInput):
    signature = arguments(
        "id",
        "options",
        optional=(*ABOUT, "default", "placeholder", "chip", "control_after_generate", "socketless", *REST),
    )

    def _more(self) -> dict[str, Any]:
        chosen = _known({"placeholder": self.placeholder, "chip": self.chip})
        return {"multiselect": True, "options": self.options, "multi_select": chosen}


class MultiTypeInput(Input):
    """Takes several types; with a widget input in place of the id, that widget is shown."""

    signature = arguments("id", "types", optional=(*ABOUT, *REST))

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.widget = self.id if isinstance(self.id, Input) else None
        if self.widget is not None:
            self.id = self.widget.id
            self.optional = self.widget.optional or self.optional

    def get_io_type(self) -> str:
        own = [] if self.widget is None else [self.widget.get_io_type()]
        return ",".join(dict.fromkeys([*own, *(kind.io_type for kind in self.types)]))

    def _more(self) -> dict[str, Any]:
        if self.widget is None:
            return {}
        about = {name: self.given[name] for name in ABOUT if self.given[name]}
        return {**self.widget.as_dict(), **about, "widgetType": self.widget.get_io_type()}


class DynamicComboInput(Input):
    """A choice that decides which further inputs there are."""

    signature = arguments("id", "options", optional=(*ABOUT, "extra_dict"))

    def _more(self) -> dict[str, Any]:
        return {"options": [{"key": option.key, "inputs": sections(option.inputs)} for option in self.options]}


class Output(_Declared):
    io_type: str
    signature = arguments(optional=("id", "display_name", "tooltip", "is_output_list"))

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.display_name = self.display_name or self.id


class ComboOutput(Output):
    signature = arguments(optional=("id", "display_name", "options", "tooltip", "is_output_list"))


def sections(inputs: list[Input]) -> dict[str, dict[str, tuple[str, dict]]]:
    """Inputs as the server sends them: required and optional ones apart."""
    found: dict[str, dict] = {"required": {}}
    for socket in inputs:
        section = found.setdefault("optional" if socket.optional else "required", {})
        section[socket.id] = (socket.get_io_type(), socket.as_dict())
    return found


def socket_type(
    name: str, io_type: str, inputs: type[Input] = Input, outputs: type[Output] = Output, value: Any = Any
) -> type:
    """One of io's types: a namespace with its own Input and Output."""
    own: Callable[[type], type] = lambda base: type(base.__name__, (base,), {"io_type": io_type})  # noqa: E731
    return type(name, (), {"io_type": io_type, "Type": value, "Input": own(inputs), "Output": own(outputs)})


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
