"""A credential that is deleted or replaced leaves no sealed byte on the disk: database, log or readers' copy."""

from pathlib import Path

from convergence.sql import Statement

READ = "SELECT ciphertext FROM org_integration_credentials"


def holding(folder: Path, ciphertext: str) -> list[str]:
    """Files with any piece of its secret part, read when nothing has them open."""
    pieces = [ciphertext[at : at + 24].encode() for at in range(len(ciphertext) // 2, len(ciphertext) - 24, 8)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in files if any(one in path.read_bytes() for one in pieces))


async def sealed(platform) -> str:
    """The ciphertext, after a reader's copy has been made of it too."""
    await platform.warehouse.read(Statement(READ, platform.scope.dataset), max_rows=10)
    [row] = await platform.rows()
    return row["ciphertext"]


async def test_a_stored_ciphertext_is_found_on_the_disk(platform, integrations, admin_key, tmp_path):
    await integrations.setup(platform.acme, "openai", admin_key)
    ciphertext = await sealed(platform)
    await platform.warehouse.close()
    assert holding(tmp_path, ciphertext) == ["readers/organizations.duckdb", "warehouse/organizations.duckdb"]


async def test_a_deleted_one_is_in_no_file(platform, integrations, admin_key, tmp_path):
    await integrations.setup(platform.acme, "openai", admin_key)
    ciphertext = await sealed(platform)
    await integrations.delete(platform.acme, "openai")
    await platform.warehouse.close()
    assert holding(tmp_path, ciphertext) == []


async def test_a_replaced_one_is_in_no_file_and_the_new_one_opens(platform, integrations, admin_key, tmp_path):
    await integrations.setup(platform.acme, "openai", admin_key)
    ciphertext = await sealed(platform)
    await integrations.setup(platform.acme, "openai", admin_key)
    revealed = await integrations.reveal(platform.acme, "openai")
    await platform.warehouse.close()
    assert (holding(tmp_path, ciphertext), revealed) == ([], admin_key)


async def test_the_other_organizations_credential_stays(platform, integrations, admin_key, other_key):
    await integrations.setup(platform.acme, "openai", admin_key)
    await integrations.setup(platform.globex, "openai", other_key)
    await integrations.delete(platform.acme, "openai")
    assert await integrations.reveal(platform.globex, "openai") == other_key
