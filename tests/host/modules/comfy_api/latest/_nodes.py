"""What a node is: its schema, its class, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

from ._sockets import Input, Output, sections


class Hidden(str, Enum):
    """Values that a node may ask the host for."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"
    comfy_usage_source = "COMFY_USAGE_SOURCE"


class HiddenHolder(SimpleNamespace):
    """`cls.hidden` while a node runs: what the schema did not ask for is None."""

    def __getattr__(self, name: str) -> None:
        return None


@dataclass
class Schema:
    """Exactly the fields of ComfyUI 0.33: an unknown keyword is a TypeError, there as here."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    price_badge: Any = None
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def finalize(self) -> None:
        """Fills in what the host adds by itself."""
        wanted = [Hidden.prompt, Hidden.extra_pnginfo] if self.is_output_node else []
        self.hidden = [*self.hidden, *(each for each in wanted if each not in self.hidden)]
        for number, output in enumerate(self.outputs):
            if output.id is None:
                output.id = f"_{number}_{output.io_type}_"

    def validate(self) -> None:
        """ValueError when two inputs, or two outputs, have the same id."""
        for kind, sockets in (("input", self.inputs), ("output", self.outputs)):
            ids = [socket.id for socket in sockets]
            twice = sorted({each for each in ids if ids.count(each) > 1})
            if twice:
                raise ValueError(f"{self.node_id} has more than one {kind} with the id {', '.join(twice)}")


class NodeOutput:
    """What `execute` returns: the values of the outputs, and what to show on the node."""

    def __init__(self, *args: Any, ui: Any = None, expand: dict | None = None, block_execution: str | None = None):
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple | None:
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class ComfyNode:
    """Base of all nodes. The four placeholders below count as absent unless a node overrides them."""

    hidden: HiddenHolder | None = None

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError(f"{cls.__name__} has no define_schema")

    @classmethod
    def execute(cls, **inputs: Any) -> NodeOutput:
        raise NotImplementedError(f"{cls.__name__} has no execute")

    @classmethod
    def validate_inputs(cls, **inputs: Any) -> bool | str:
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def overrides(cls, name: str) -> bool:
        """Whether the node itself, and not this base, has the method."""
        return getattr(cls, name).__func__ is not getattr(ComfyNode, name).__func__

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        for name in ("define_schema", "execute"):
            if not cls.overrides(name):
                raise NotImplementedError(f"{cls.__name__} has no {name}")
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema

    @classmethod
    def GET_NODE_INFO_V1(cls) -> dict[str, Any]:
        """The node's entry in the server's /object_info."""
        schema = cls.GET_SCHEMA()
        inputs: dict[str, dict] = sections(schema.inputs)
        if schema.hidden:
            inputs["hidden"] = {each.name: (each.value,) for each in schema.hidden}
        return {
            "input": inputs,
            "input_order": {section: list(found) for section, found in inputs.items()},
            "is_input_list": schema.is_input_list,
            "output": [output.io_type for output in schema.outputs],
            "output_is_list": [output.is_output_list for output in schema.outputs],
            "output_name": [output.display_name or output.io_type for output in schema.outputs],
            "output_tooltips": [output.tooltip or None for output in schema.outputs],
            "name": schema.node_id,
            "display_name": schema.display_name,
            "description": schema.description,
            "category": schema.category,
            "output_node": schema.is_output_node,
            "deprecated": schema.is_deprecated,
            "experimental": schema.is_experimental,
            "search_aliases": schema.search_aliases or None,
        }
