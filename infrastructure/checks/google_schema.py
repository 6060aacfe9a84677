"""Reads the schema of HashiCorp's google providers out of the bindings that are published for Python.

The bindings are generated from the provider's own schema. Their source maps keep the TypeScript, which says of every
attribute what it is called, whether it is required, optional or computed, and whether it is a block. What is lost:
the checks of values that the provider does in code.

    python google_schema.py WHEEL SCHEMA.json google_storage_bucket data.google_project ...
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Block = dict[str, Any]

_PRIMITIVES = {"string": "string", "number": "number", "boolean": "bool"}
_NESTINGS = {"list": "list", "set": "set", "struct": "single"}
_FLAGS = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\s+"
    r"(?:private _\w+ = new ([\w.]+)\(|private _\w+\?: ([^;\n]+);|public get \w+\(\) \{\s+return ([^;]+);)"
)
_ATTRIBUTE = re.compile(
    r"^ {4,8}(\w+): \{\s+value: .*?,\s+isBlock: (true|false),\s+type: \"(\w+)\",\s+storageClassType: \"(\w+)\"",
    re.DOTALL | re.MULTILINE,
)
_CLASS = re.compile(r"^export class (\w+) extends cdktf\.(\w+) \{(.*?)^\}", re.DOTALL | re.MULTILINE)
_STRUCT = re.compile(r"^export function (\w+)ToHclTerraform\(.*?\{(.*?)^\}", re.DOTALL | re.MULTILINE)
_COLLECTION = re.compile(r"(string|number|boolean|any)(List|Map|Set)")
_GETTER = re.compile(r"get(String|Number|Boolean|List|NumberList|StringMap|NumberMap|BooleanMap)Attribute")
_GETTER_TYPES: Mapping[str, Any] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
}


@dataclass(frozen=True, slots=True)
class Flags:
    """What a binding says of one attribute, and the class or expression that it is read with."""

    computed: bool
    optional: bool
    required: bool
    made_of: str
    getter: str


@dataclass(frozen=True, slots=True)
class Written:
    """How one attribute is written to HCL."""

    is_block: bool
    kind: str
    storage: str


@dataclass(slots=True)
class Binding:
    """The classes and structs of one resource, by name."""

    main: str = ""
    classes: dict[str, str] = field(default_factory=dict)
    structs: dict[str, str] = field(default_factory=dict)


def read_binding(source: str) -> Binding:
    """Split the TypeScript of one resource into its classes and structs."""
    binding = Binding()
    for name, base, body in _CLASS.findall(source):
        binding.classes[name] = body
        if base in {"TerraformResource", "TerraformDataSource", "TerraformProvider"}:
            binding.main = name
    for name, body in _STRUCT.findall(source):
        binding.structs[name[0].upper() + name[1:]] = body
    return binding


def build_schema(source: str) -> Block:
    """The block of one resource, data source or provider."""
    binding = read_binding(source)
    body = binding.classes[binding.main]
    written = _read_written(body[body.index("synthesizeHclAttributes()") :])
    return _build_block(binding, _read_flags(body), written)


def _read_flags(body: str) -> dict[str, Flags]:
    return {
        name: Flags(computed == "true", optional == "true", required == "true", made_of, getter)
        for name, computed, optional, required, made_of, _type, getter in _FLAGS.findall(body)
    }


def _read_written(body: str) -> dict[str, Written]:
    return {name: Written(block == "true", kind, storage) for name, block, kind, storage in _ATTRIBUTE.findall(body)}


def _build_block(binding: Binding, flags: Mapping[str, Flags], written: Mapping[str, Written]) -> Block:
    block: Block = {"attributes": {}, "blocks": {}}
    for name, flag in flags.items():
        how = written.get(name)
        if how is not None and how.is_block:
            block["blocks"][name] = _build_nested(binding, flag, how)
        else:
            block["attributes"][name] = _build_attribute(binding, flag, how)
    return block


def _build_nested(binding: Binding, flag: Flags, how: Written) -> Block:
    nesting = _NESTINGS[how.kind]
    is_one = flag.made_of.endswith("OutputReference") and nesting != "single"
    return {
        "nesting": nesting,
        "min": int(flag.required and nesting != "single"),
        "max": int(is_one),
        "block": _build_struct(binding, flag.made_of),
    }


def _build_struct(binding: Binding, made_of: str) -> Block:
    name = re.sub(r"(OutputReference|List|Map)$", "", made_of)
    reference = binding.classes.get(f"{name}OutputReference", "")
    return _build_block(binding, _read_flags(reference), _read_written(binding.structs.get(name, "")))


def _build_attribute(binding: Binding, flag: Flags, how: Written | None) -> Block:
    return {
        "type": _build_type(binding, flag, how),
        "required": flag.required,
        "optional": flag.optional,
        "computed": flag.computed,
    }


def _build_type(binding: Binding, flag: Flags, how: Written | None) -> Any:
    if how is not None and how.storage in _PRIMITIVES:
        return _PRIMITIVES[how.storage]
    if how is not None and (match := _COLLECTION.fullmatch(how.storage)):
        kind = how.kind if how.kind in {"list", "set", "map"} else match[2].lower()
        return [kind, _PRIMITIVES.get(match[1], "dynamic")]
    if match := _GETTER.search(flag.getter):
        return _GETTER_TYPES[match[1]]
    if match := re.fullmatch(r"cdktf\.(String|Number|Boolean)Map", flag.made_of):
        return _GETTER_TYPES[match[1] + "Map"]
    return _object_type(binding, flag.made_of)


def _object_type(binding: Binding, made_of: str) -> Any:
    block = _build_struct(binding, made_of) if made_of else {"attributes": {}, "blocks": {}}
    fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    return ["list", ["object", fields]] if fields else "dynamic"


def read_sources(wheel: Path, folders: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The address and the TypeScript of each folder of the bindings that is asked for."""
    wanted = {f"package/lib/{folder}/index.js": address for address, folder in folders.items()}
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as archive:
            for member in archive:
                if address := wanted.get(member.name):
                    content = archive.extractfile(member)
                    yield address, _typescript(content.read().decode() if content else "")


def _typescript(javascript: str) -> str:
    encoded = javascript.rpartition("base64,")[2].strip()
    source: str = json.loads(base64.b64decode(encoded))["sourcesContent"][0]
    return source


def folder_of(address: str, *, beta: bool) -> str:
    """`google_project` is `project`, `data.google_project` is `data-google-project`; beta's keep their `google-`."""
    kind, _, name = address.rpartition(".")
    dashed = name.replace("_", "-")
    if kind == "data":
        return f"data-{dashed}"
    return dashed if beta or name == "provider" else dashed.removeprefix("google-")


def write_schema(wheel: Path, target: Path, addresses: list[str]) -> None:
    """Write what the stand-in serves; an address that the provider does not know is left out."""
    folders = {address: folder_of(address, beta="beta" in wheel.name) for address in [*addresses, "provider"]}
    schema = {address: build_schema(source) for address, source in read_sources(wheel, folders)}
    target.write_text(json.dumps(schema, separators=(",", ":")))


if __name__ == "__main__":
    write_schema(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
