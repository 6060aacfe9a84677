"""Stands in for HashiCorp's google providers, so that terraform can check types and run tests without a network.

It knows the schema and nothing else: it validates shapes, and tests run against terraform's own mocked provider. The
real terraform starts it as a plugin: `google_provider.py registry.terraform.io/hashicorp/google SCHEMA.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tf.provider
from tf.gen import tfplugin_pb2 as messages
from tf.gen import tfplugin_pb2_grpc as services
from tf.runner import run_provider

_NESTINGS = {
    "list": messages.Schema.NestedBlock.LIST,
    "set": messages.Schema.NestedBlock.SET,
    "single": messages.Schema.NestedBlock.SINGLE,
}
_ADDRESS, _SCHEMA_FILE = sys.argv[1:3]
_SCHEMA: dict[str, Any] = json.loads(Path(_SCHEMA_FILE).read_text())


def _schema(block: dict[str, Any]) -> messages.Schema:
    return messages.Schema(version=0, block=_block(block))


def _block(block: dict[str, Any]) -> messages.Schema.Block:
    return messages.Schema.Block(
        attributes=[_attribute(name, one) for name, one in block["attributes"].items()],
        block_types=[_nested(name, one) for name, one in block["blocks"].items()],
    )


def _attribute(name: str, attribute: dict[str, Any]) -> messages.Schema.Attribute:
    return messages.Schema.Attribute(
        name=name,
        type=json.dumps(attribute["type"]).encode(),
        required=attribute["required"],
        optional=attribute["optional"],
        computed=attribute["computed"],
    )


def _nested(name: str, nested: dict[str, Any]) -> messages.Schema.NestedBlock:
    return messages.Schema.NestedBlock(
        type_name=name,
        block=_block(nested["block"]),
        nesting=_NESTINGS[nested["nesting"]],
        min_items=nested["min"],
        max_items=nested["max"],
    )


def _provider() -> dict[str, Any]:
    known: dict[str, Any] = _SCHEMA["provider"]
    known["attributes"].pop("alias", None)  # terraform's own word, not the provider's
    return known


class SchemaServicer(services.ProviderServicer):  # type: ignore[misc] # generated without types
    """Answers what validation asks. The names are the plugin protocol's."""

    def __init__(self, _provider: object) -> None:
        self._kinds = {name: _schema(block) for name, block in _SCHEMA.items() if name != "provider"}

    def GetMetadata(self, _request: object, _context: object) -> messages.GetMetadata.Response:  # noqa: N802 (protocol)
        return messages.GetMetadata.Response(
            server_capabilities=messages.ServerCapabilities(get_provider_schema_optional=False)
        )

    def GetProviderSchema(self, _request: object, _context: object) -> messages.GetProviderSchema.Response:  # noqa: N802 (protocol)
        data = {name.removeprefix("data."): one for name, one in self._kinds.items() if name.startswith("data.")}
        resources = {name: one for name, one in self._kinds.items() if not name.startswith("data.")}
        return messages.GetProviderSchema.Response(
            provider=_schema(_provider()), resource_schemas=resources, data_source_schemas=data
        )

    def ValidateProviderConfig(self, _request: object, _context: object) -> messages.ValidateProviderConfig.Response:  # noqa: N802 (protocol)
        return messages.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, _request: object, _context: object) -> messages.ValidateResourceConfig.Response:  # noqa: N802 (protocol)
        return messages.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(  # noqa: N802 (protocol)
        self, _request: object, _context: object
    ) -> messages.ValidateDataResourceConfig.Response:
        return messages.ValidateDataResourceConfig.Response()

    def StopProvider(self, _request: object, _context: object) -> messages.StopProvider.Response:  # noqa: N802 (protocol)
        return messages.StopProvider.Response()


class Named:
    """All that the runner wants to know of a provider."""

    def full_name(self) -> str:
        return _ADDRESS


if __name__ == "__main__":
    tf.provider.ProviderServicer = SchemaServicer
    run_provider(Named())
