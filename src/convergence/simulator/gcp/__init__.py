"""A Cloud Billing export with known truth, as rows of its table and as files."""

from convergence.simulator.gcp.files import write_ndjson, write_parquet
from convergence.simulator.gcp.world import GcpBillingWorld

__all__ = ["GcpBillingWorld", "write_ndjson", "write_parquet"]
