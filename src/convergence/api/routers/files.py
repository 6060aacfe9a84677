"""Files: exports, invoices and FOCUS files of vendors, uploaded and loaded by a run."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final, Literal, get_args

from fastapi import APIRouter, Request

from convergence.api.deps import CallerOf, OrgOf, PlatformOf
from convergence.api.gate import OPERATOR, GatedRoute, org_key
from convergence.api.multipart import FileForm
from convergence.api.routers.pipelines import AcceptedAnswer
from convergence.bootstrap import Platform
from convergence.catalog import Pipeline
from convergence.connectors.files import check_archive
from convergence.errors import InvalidRequest, NotFound
from convergence.integrations import find_provider
from convergence.kit.ids import new_id
from convergence.pipelines.models import TriggerType
from convergence.pipelines.service import RunRequest

Kind = Literal["export", "invoice", "focus", "focus_removal", "identity"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
_EACH_TIME: Final = frozenset({"identity", "focus_removal"})  # what was replaced since may come again
_OTHER_PROVIDER: Final = re.compile(r"[a-z][a-z0-9_]{1,49}", re.ASCII)
_LONGEST_NAME: Final = 200
_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "kind": {"type": "string", "enum": list(KINDS), "default": "export"},
                    },
                }
            }
        },
    }
}


class UploadRoute(GatedRoute):
    """Reads its form as it arrives."""

    streams_body = True


router = APIRouter(prefix="/api/v1/files", tags=["files"], route_class=UploadRoute)


@router.post("/{org}/{provider}", status_code=202, dependencies=[org_key("pipelines:run")], openapi_extra=_FORM)
async def load_file(
    provider: str, request: Request, org: OrgOf, platform: PlatformOf, caller: CallerOf
) -> AcceptedAnswer:
    """Load a file: `kind` is export (the default), invoice, focus or identity. The answer comes before the run.

    The same content twice is the same run, unless that run has failed or was cancelled; an identity mapping is loaded
    each time. `focus_removal` takes back the days of a FOCUS file, which can then be loaded again.
    """
    name = _provider_name(provider)
    form = FileForm(request)
    async with aclosing(form.read_file()) as chunks:
        upload = await platform.uploads.receive(org, chunks, max_bytes=platform.settings.max_upload_size_bytes)
    kind = _read_kind(form)
    await asyncio.to_thread(check_archive, upload.path)
    parameters = {"upload": upload.sha256, "filename": _safe_name(form.filename or ""), "provider": name}
    accepted = RunRequest(
        _find_pipeline(platform, name, kind),
        parameters=parameters,
        trigger_type=TriggerType.CLI if caller.name == OPERATOR else TriggerType.API,
        trigger_by=caller.name,
    )
    content = f"{name}/{upload.sha256}"
    if kind == "focus_removal":
        await platform.pipelines.forget_upload(org, _find_pipeline(platform, name, "focus"), content)
    if kind in _EACH_TIME:
        content += f"/{new_id('load')}"
    run = await platform.pipelines.run_upload(org, accepted, content)
    return AcceptedAnswer(
        pipeline_logging_id=run.run_id, pipeline_id=run.pipeline_id, org_slug=run.org_slug, status=run.status
    )


def _provider_name(text: str) -> str:
    """The folder of a provider by any of its names; another cloud's own name in small letters.

    Raises:
        NotFound: it cannot name a provider.
    """
    try:
        return find_provider(text).folder
    except NotFound:
        if _OTHER_PROVIDER.fullmatch(text.casefold()):
            return text.casefold()
        raise


def _read_kind(form: FileForm) -> Kind:
    faults = [f"unknown field {name[:50]!r}" for name in form.fields if name != "kind"]
    kind = form.fields.get("kind", "export")
    if kind not in KINDS:
        faults.append(f"kind {kind[:50]!r} is not one of {', '.join(KINDS)}")
    if faults:
        raise InvalidRequest("; ".join(faults), fields={"faults": faults})
    found: Kind = kind  # type: ignore[assignment] # just looked up among them
    return found


def _find_pipeline(platform: Platform, provider: str, kind: Kind) -> Pipeline:
    if kind == "export":
        return platform.pipelines.find_by_path(provider, "export", None)
    return platform.pipelines.find_by_path("files", kind, None)


def _safe_name(filename: str) -> str:
    """What a person calls the file, without folders: it is recorded and shown, and never opened."""
    name = PurePosixPath(PureWindowsPath(filename).as_posix()).name
    printable = "".join(letter for letter in name if letter.isprintable())
    return printable[:_LONGEST_NAME] or "unnamed"
