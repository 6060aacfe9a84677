"""A real project of Google Cloud in the emulator's place: one that holds nothing but what the tests put into it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from google.cloud import bigquery

PROJECT: Final = "GCP_PROJECT_ID"
LOCATION: Final = os.environ.get("BIGQUERY_LOCATION", "US")


@dataclass(frozen=True)
class BigQueryProject:
    """Stands where BigQueryEmulator does. Every call of `project` drops what earlier tests have left."""

    name: str
    endpoint: None = None
    grpc_address: None = None

    def project(self) -> str:
        self.clear()
        return self.name

    def client(self, project: str) -> bigquery.Client:
        from google.cloud import bigquery

        return bigquery.Client(project, location=LOCATION)

    def datasets(self) -> list[str]:
        with self.client(self.name) as client:
            return [dataset.dataset_id for dataset in client.list_datasets()]

    def clear(self) -> None:
        with self.client(self.name) as client:
            for dataset in client.list_datasets():
                client.delete_dataset(dataset.reference, delete_contents=True, not_found_ok=True)


def find_fault(name: str | None) -> str | None:
    """Why the tests must not run against this project."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    if not name:
        return f"{PROJECT} is not set: name a project that is for these tests alone"
    try:
        left = BigQueryProject(name).datasets()
    except GoogleAuthError as error:
        return f"no credentials ({error}): set GOOGLE_APPLICATION_CREDENTIALS or gcloud auth application-default login"
    except GoogleAPIError as error:
        return f"{name} cannot be used: {error}"
    return f"{name} holds {', '.join(left)}: the tests drop every dataset, take an empty project" if left else None


if __name__ == "__main__":
    sys.exit(find_fault(os.environ.get(PROJECT)))
