"""A page into columns: the fast way where the page is as declared, the strict way where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from convergence.connectors.columns import NotUniform, read_columns
from convergence.connectors.layout import PageLayout
from convergence.connectors.pages import parse_json, read_envelope
from convergence.connectors.strict_rows import Reject, read_strictly
from convergence.errors import ProviderMisbehaved


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """`rows` has the layout's columns in its order. `unknown_fields` are members that no field names."""

    envelope: Mapping[str, Any]
    rows: pa.RecordBatch
    rejects: list[Reject] = field(default_factory=list)
    unknown_fields: frozenset[str] = frozenset()


def decode_page(body: bytes, layout: PageLayout) -> DecodedPage:
    """Rows as columns, bad rows apart. A bare JSON array is the member `data`.

    Raises:
        ProviderUnavailable: the text ends early or is not JSON.
        ProviderMisbehaved: JSON, and not a page of this layout.
    """
    if body.lstrip()[:1] == b"[":
        body = b'{"data":' + body + b"}"
    envelope = read_envelope(body)
    wanted = {name: envelope[name] for name in layout.envelope if name in envelope}
    try:
        columns = read_columns(body, layout)
    except NotUniform:
        return _decode_strictly(body, layout, wanted)
    return DecodedPage(wanted, columns.rows, unknown_fields=columns.unknown_fields)


def _decode_strictly(body: bytes, layout: PageLayout, envelope: Mapping[str, Any]) -> DecodedPage:
    page = parse_json(body)
    if not isinstance(page, dict):
        raise ProviderMisbehaved("the page is not a JSON object", code="page_not_object")
    strict = read_strictly(page, layout)
    return DecodedPage(envelope, strict.rows, strict.rejects, strict.unknown_fields)
