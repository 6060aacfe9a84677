"""Files as rows: what lies in an archive, and tables of text, JSON lines or Parquet turned into declared columns."""

from convergence.connectors.files.archives import Member, check_archive, unpack
from convergence.connectors.files.tables import FileLayout, FileRows, read_header, read_rows
from convergence.connectors.files.texts import spell_json

__all__ = ["FileLayout", "FileRows", "Member", "check_archive", "read_header", "read_rows", "spell_json", "unpack"]
