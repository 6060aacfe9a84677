"""SQL that tells who spent it: from the key, account or project of a cost to a person, a team and a cost centre.

What the mapping says of a key wins over what it says of an account, that over a project; the provider's own directory
is asked where the mapping names no person. A person's team is the one of that day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

ATTRIBUTES: Final = ("person", "team", "cost_center")
KINDS: Final = ("api_key_id", "masked_key", "key_name", "user_id", "project_id", "person")  # the most telling first

_TABLES: Final[dict[str, dict[str, str]]] = {
    "identity_mapping": {
        **dict.fromkeys(("provider", *KINDS, "team", "cost_center"), "STRING"),
        **dict.fromkeys(("valid_from", "valid_to"), "DATE"),
    },
    "dim_api_keys": {
        **dict.fromkeys(("provider", "api_key_id", "name", "masked_key", "owner_id", "person"), "STRING"),
        **dict.fromkeys(("valid_from", "valid_to"), "DATE"),
    },
    "dim_people": {
        **dict.fromkeys(("provider", "user_id", "person"), "STRING"),
        **dict.fromkeys(("valid_from", "valid_to"), "DATE"),
    },
}


@dataclass(frozen=True, slots=True)
class IdentityTables:
    """The columns of the identity tables that an organization has; what it lacks is read as empty."""

    columns: Mapping[str, frozenset[str]]

    def select(self, table: str, name: str | None = None) -> str:
        """All columns that are asked for, NULL where the table has none; `name` is read in the table's place."""
        typed, present = _TABLES[table], self.columns.get(table, frozenset())
        if name is not None:
            return f"SELECT {', '.join(typed)} FROM {name}"
        listed = ", ".join(
            column if column in present else f"CAST(NULL AS {kind}) AS {column}" for column, kind in typed.items()
        )
        return f"SELECT {listed} FROM {table}" if present else f"SELECT {listed} FROM (SELECT 1) WHERE FALSE"


async def describe_identity(warehouse: Warehouse, org: OrgScope, existing: Collection[str]) -> IdentityTables:
    """What there is to tell people by; `existing` are the tables of the organization."""
    names = [name for name in _TABLES if name in existing]
    statements = (Statement(f"SELECT * FROM {name} LIMIT 0", org.dataset) for name in names)
    found = await asyncio.gather(*(warehouse.query(statement) for statement in statements))
    return IdentityTables({name: frozenset(rows.column_names) for name, rows in zip(names, found, strict=True)})


def build_attribution(
    source: str, identity: IdentityTables, *, result: str = "attributed", mapping: str | None = None
) -> list[str]:
    """CTEs, the last of them named `result`: the rows of `source`, each with its person, team and cost_center.

    `source` is a table or an earlier CTE with usage_date, provider, project, api_key and user. Each of its rows comes
    once, whatever overlaps. `mapping` names what is read in the place of the table identity_mapping.
    """
    return [f"{name} AS ({sql})" for name, sql in _parts(source, identity, result, mapping)]


def holds(table: str, used: str) -> str:
    """The condition that a dated row holds on the day of another."""
    return (
        f"({table}.valid_from IS NULL OR {table}.valid_from <= {used}.usage_date)"
        f" AND ({table}.valid_to IS NULL OR {table}.valid_to > {used}.usage_date)"
    )


def _parts(source: str, identity: IdentityTables, result: str, mapping: str | None) -> Iterator[tuple[str, str]]:
    accounts = f"{result}_accounts"  # many costs a day are of the same one
    yield accounts, f"SELECT DISTINCT usage_date, provider, project, api_key, `user` FROM {source}"
    yield f"{result}_mapping", _mapping(identity.select("identity_mapping", mapping))
    yield f"{result}_keys", _used(identity.select("dim_api_keys"), accounts, "api_key", "api_key_id")
    yield f"{result}_users", _used(identity.select("dim_people"), accounts, "user", "user_id")
    yield f"{result}_owners", _one_person(f"{result}_keys", "api_key")
    yield f"{result}_people", _one_person(f"{result}_users", "user")
    yield f"{result}_names", " UNION ALL ".join(_names(accounts, result))
    yield f"{result}_mapped", _first(_MAPPED.format(result=result))
    yield f"{result}_personal", _PERSONAL.format(result=result)
    yield f"{result}_teams", _first(_TEAMS.format(result=result))
    yield f"{result}_spenders", _SPENDERS.format(result=result)
    yield result, _RESULT.format(source=source, result=result, is_same=_is_same("s", "w"))


def _mapping(rows: str) -> str:
    """What each row of the mapping is about: a kind of name, the name, and how much that tells."""
    given = [f"NULLIF({kind}, '')" for kind in KINDS]
    kinds = " ".join(f"WHEN {name} IS NOT NULL THEN '{kind}'" for name, kind in zip(given, KINDS, strict=True))
    ranks = " ".join(f"WHEN {name} IS NOT NULL THEN {rank}" for rank, name in enumerate(given))
    names = {"masked_key": _unmask("masked_key"), "user_id": _address("user_id"), "person": "LOWER(person)"}
    spelled = [f"NULLIF({names.get(kind, kind)}, '')" for kind in KINDS]
    return (
        f"SELECT NULLIF(provider, '') AS provider, CASE {kinds} END AS kind, CASE {ranks} END AS standing,"
        f" COALESCE({', '.join(spelled)}) AS id, NULLIF(LOWER(person), '') AS person, NULLIF(team, '') AS team,"
        f" NULLIF(cost_center, '') AS cost_center, valid_from, valid_to FROM ({rows}) AS m"
    )


def _used(rows: str, source: str, key: str, column: str) -> str:
    """What the directory says of each account on each day on which it cost something."""
    return (
        f"SELECT used.usage_date, used.`{key}`, d.* FROM"
        f" (SELECT DISTINCT usage_date, provider, `{key}` FROM {source}) AS used JOIN ({rows}) AS d"
        f" ON d.provider = used.provider AND d.{column} = used.`{key}` AND {holds('d', 'used')}"
    )


def _one_person(rows: str, key: str) -> str:
    """One person a day and account, so that no overlap of dates doubles money."""
    return f"SELECT usage_date, provider, `{key}`, MIN(person) AS person FROM {rows} GROUP BY 1, 2, 3"


def _names(source: str, result: str) -> Iterator[str]:
    """Every name that the mapping may call an account by."""
    keys, users = f"{result}_keys", f"{result}_users"
    yield _name(source, "key", "api_key", "api_key_id", "api_key")
    yield _name(source, "key", "api_key", "masked_key", _unmask("api_key"))
    yield _name(keys, "key", "api_key", "masked_key", _unmask("masked_key"))
    yield _name(keys, "key", "api_key", "key_name", "TRIM(name)")
    yield _name(source, "user", "user", "user_id", _address("`user`"))
    yield _name(users, "user", "user", "user_id", "LOWER(person)")
    yield _name(keys, "owner", "api_key", "user_id", "owner_id")
    yield _name(keys, "owner", "api_key", "user_id", "LOWER(person)")
    yield _name(source, "project", "project", "project_id", "project")


def _name(rows: str, account: str, key: str, kind: str, name: str) -> str:
    return (
        f"SELECT usage_date, provider, '{account}' AS account, `{key}` AS account_id, '{kind}' AS kind,"
        f" {name} AS id FROM {rows} WHERE `{key}` IS NOT NULL"
    )


def _unmask(column: str) -> str:
    """Vendors hide the middle of a key behind dots, stars or bullets; how many says nothing."""
    return f"REGEXP_REPLACE({column}, r'[*•….]+', '*')"


def _address(column: str) -> str:
    return f"IF(STRPOS({column}, '@') > 0, LOWER({column}), {column})"


def _is_same(one: str, other: str) -> str:
    """Two rows of one account: NULL is an account of its own, and the empty text another."""
    keys = ("project", "api_key", "`user`")
    same = [f"COALESCE({one}.{key}, '') = COALESCE({other}.{key}, '')" for key in keys]
    same += [f"({one}.{key} IS NULL) = ({other}.{key} IS NULL)" for key in keys]
    return " AND ".join([*(f"{one}.{key} = {other}.{key}" for key in ("usage_date", "provider")), *same])


def _first(ranked: str) -> str:
    return f"SELECT * EXCEPT (place) FROM ({ranked}) AS ranked WHERE place = 1"


_MAPPED: Final = (
    "SELECT n.usage_date, n.provider, n.account, n.account_id, m.person, m.team, m.cost_center, ROW_NUMBER() OVER ("
    "PARTITION BY n.usage_date, n.provider, n.account, n.account_id"
    " ORDER BY m.standing, COALESCE(m.valid_from, DATE '0001-01-01') DESC, m.person, m.team, m.cost_center) AS place"
    " FROM {result}_names AS n JOIN {result}_mapping AS m"
    f" ON m.provider = n.provider AND m.kind = n.kind AND m.id = n.id AND {holds('m', 'n')}"
)
_TEAMS: Final = (
    "SELECT used.usage_date, used.provider, used.person, m.team, m.cost_center, ROW_NUMBER() OVER ("
    "PARTITION BY used.usage_date, used.provider, used.person"
    " ORDER BY m.provider IS NULL, COALESCE(m.valid_from, DATE '0001-01-01') DESC, m.team, m.cost_center) AS place"
    " FROM (SELECT DISTINCT usage_date, provider, person FROM {result}_personal) AS used JOIN {result}_mapping AS m"
    " ON m.kind = 'person' AND m.id = used.person AND (m.provider IS NULL OR m.provider = used.provider)"
    " AND COALESCE(m.team, m.cost_center) IS NOT NULL"
    f" AND {holds('m', 'used')}"
)
# Who tells the team tells the cost centre: that of another team would be wrong.
_PERSONAL: Final = """
SELECT s.*,
  COALESCE(k.person, u.person, people.person, IF(STRPOS(s.`user`, '@') > 0, LOWER(s.`user`), NULL), o.person,
    owners.person, p.person) AS person,
  COALESCE(k.team, u.team, o.team) AS own_team,
  CASE WHEN COALESCE(k.team, k.cost_center) IS NOT NULL THEN k.cost_center
    WHEN COALESCE(u.team, u.cost_center) IS NOT NULL THEN u.cost_center ELSE o.cost_center END AS own_cost_center,
  p.team AS project_team, p.cost_center AS project_cost_center
FROM {result}_accounts AS s
LEFT JOIN {result}_mapped AS k ON k.usage_date = s.usage_date AND k.provider = s.provider
  AND k.account_id = s.api_key AND k.account = 'key'
LEFT JOIN {result}_mapped AS u ON u.usage_date = s.usage_date AND u.provider = s.provider
  AND u.account_id = s.`user` AND u.account = 'user'
LEFT JOIN {result}_mapped AS o ON o.usage_date = s.usage_date AND o.provider = s.provider
  AND o.account_id = s.api_key AND o.account = 'owner' AND s.`user` IS NULL
LEFT JOIN {result}_mapped AS p ON p.usage_date = s.usage_date AND p.provider = s.provider
  AND p.account_id = s.project AND p.account = 'project'
LEFT JOIN {result}_people AS people ON people.usage_date = s.usage_date AND people.provider = s.provider
  AND people.`user` = s.`user`
LEFT JOIN {result}_owners AS owners ON owners.usage_date = s.usage_date AND owners.provider = s.provider
  AND owners.api_key = s.api_key
"""
_SPENDERS: Final = """
SELECT s.usage_date, s.provider, s.project, s.api_key, s.`user`, s.person,
  COALESCE(s.own_team, t.team, s.project_team) AS team,
  CASE WHEN COALESCE(s.own_team, s.own_cost_center) IS NOT NULL THEN s.own_cost_center
    WHEN COALESCE(t.team, t.cost_center) IS NOT NULL THEN t.cost_center
    ELSE s.project_cost_center END AS cost_center
FROM {result}_personal AS s
LEFT JOIN {result}_teams AS t ON t.usage_date = s.usage_date AND t.provider = s.provider AND t.person = s.person
"""
_RESULT: Final = """
SELECT s.*, w.person, w.team, w.cost_center FROM {source} AS s LEFT JOIN {result}_spenders AS w ON {is_same}
"""
