"""Files as people export them, in declared columns."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convergence.connectors.files import FileLayout, read_rows
from convergence.connectors.layout import FieldSpec
from convergence.errors import InvalidRequest

LAYOUT = FileLayout(
    (
        FieldSpec("day", "Day", "DATE", required=True),
        FieldSpec("at", "At", "TIMESTAMP", time_format="rfc3339"),
        FieldSpec("what", "What"),
        FieldSpec("count", "Count", "INT64", non_negative=True),
        FieldSpec("amount", "Amount", "NUMERIC", unit="cents"),
        FieldSpec("is_final", "Final", "BOOL"),
    )
)
ROW = {
    "day": date(2026, 11, 1),
    "at": datetime(2026, 10, 31, 22, 30, tzinfo=UTC),
    "what": "a, b",
    "count": 7,
    "amount": Decimal("0.123456789"),
    "is_final": True,
}


def load(path: Path, layout: FileLayout = LAYOUT) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    rows, rejects = [], []
    for piece in read_rows(path, layout):
        rows += piece.rows.to_pylist()
        rejects += [(reject.error_path, reject.reason) for reject in piece.rejects]
    return rows, rejects


HEADER = "Day,At,What,Count,Amount,Final"
LINE = '2026-11-01,2026-11-01T00:30:00+02:00,"a, b",7,12.3456789,true'


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{LINE}\n",
        f"\ufeff{HEADER}\r\n{LINE}\r\n",
        f"{HEADER}\n{LINE}",
        HEADER.replace(",", ";") + "\n" + '20261101;2026-10-31 22:30:00Z;"a, b";7.0;1.23456789e1;YES\n',
        HEADER.replace(",", "\t") + "\n2026-11-01\t2026-10-31T22:30Z\ta, b\t+7\t 12.3456789 \t1\n",
        '"Day","At","What","Count","Amount","Final"\n' + LINE + "\n\n",
    ],
    ids=["plain", "bom-crlf", "no-end", "semicolon-exponent", "tab-spaces", "quoted-names"],
)
def test_csv_is_read_as_it_is_written_in_the_wild(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())

    assert load(path) == ([ROW], [])


def test_json_lines_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    raw = {"Day": "2026-11-01", "At": "2026-11-01T00:30:00+02:00", "What": "a, b", "Count": 7, "Amount": "12.3456789"}
    (tmp_path / "x.ndjson").write_text(json.dumps({**raw, "Final": True}) + "\n\n")
    table = pa.table(
        {
            "Day": pa.array([ROW["day"]], pa.date32()),
            "At": pa.array([ROW["at"].replace(tzinfo=None)], pa.timestamp("ns")),
            "What": pa.array(["a, b"]).dictionary_encode(),
            "Count": pa.array([7], pa.int32()),
            "Amount": pa.array([12.3456789], pa.float64()),
            "Final": pa.array([True]),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")

    assert load(tmp_path / "x.ndjson") == ([ROW], [])
    assert load(tmp_path / "x.parquet") == ([ROW], [])


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        (("2026-11-01,", "2026-02-31,"), "row 2, Day", "expected a day such as 2026-01-31, required"),
        (("2026-11-01,", ","), "row 2, Day", "expected a day such as 2026-01-31, required"),
        (("+02:00", ""), "row 2, At", "expected a time with its zone, such as 2026-01-31T00:00:00Z"),
        ((",7,", ",-7,"), "row 2, Count", "expected a whole number, not negative"),
        ((",7,", ",7.5,"), "row 2, Count", "expected a whole number"),
        (("12.3456789", "1_000"), "row 2, Amount", "expected a number below 1e29 with at most 30 decimals"),
        (("12.3456789", "NaN"), "row 2, Amount", "expected a number below 1e29 with at most 30 decimals"),
        (("12.3456789", "1e40"), "row 2, Amount", "expected a number below 1e29 with at most 30 decimals"),
        (("true", "perhaps"), "row 2, Final", "expected true or false"),
        ((",true", ""), "line 2", "5 columns where 6 are named"),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_are_kept(
    tmp_path: Path, change: tuple[str, str], path: str, reason: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"{HEADER}\n{LINE.replace(*change, 1)}\n{LINE}\n")

    rows, rejects = load(file)

    assert rows == [ROW]
    assert rejects == [(path, reason)]


def test_no_value_is_null_and_a_word_for_it_too(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"{HEADER}\n2026-11-01,NULL,,NULL,,\n")
    layout = FileLayout(LAYOUT.fields, null_texts=("NULL",))

    assert load(file, layout) == ([{**dict.fromkeys(ROW), "day": ROW["day"]}], [])


def test_a_file_with_names_alone_has_no_rows(tmp_path: Path) -> None:
    for text in (HEADER, HEADER + "\n"):
        (tmp_path / "x.csv").write_text(text)
        assert load(tmp_path / "x.csv") == ([], [])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"What,Count\n1,2\n", "columns_missing"),
        (b"Day,Day\n1,2\n", "file_unreadable"),
        (b"\xff\xfeD\x00a\x00y\x00", "file_unreadable"),
        (b"PAR1 and nothing behind it", "file_unreadable"),
        (b'{"Day": "2026-11-01"}\n{"Day": \n', "file_unreadable"),
        (b"Day,What\n2026-11-01,\xff\xff\n", "file_unreadable"),
        (b"Day,What\n" + b"x,y\n" * 10_001, "too_many_bad_rows"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(InvalidRequest) as refused:
        load(tmp_path / "x")

    assert refused.value.code == code


def test_a_reject_shows_its_row_without_its_credentials(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"{HEADER},api_key\n{LINE.replace('true', 'x')},sk-0123456789abcdef0123456789abcdef\n")

    (piece,) = read_rows(file, LAYOUT)

    (reject,) = piece.rejects
    assert "0123456789abcdef" not in reject.raw_json
    assert json.loads(reject.raw_json)["What"] == "a, b"
    assert reject.bucket["day"] == ROW["day"]
    assert piece.unknown_fields == {"api_key"}
