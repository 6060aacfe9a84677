import json

from shell import KEY


def test_rotated_keys_open_what_was_sealed_before(loaded):
    first = loaded("keys", "rotate", "--json")
    second = loaded("keys", "rotate")
    validated = loaded("integration", "validate", "acme", "openai")

    assert json.loads(first.stdout)["rewrapped"] == 1
    assert "new key version: local/3\n1 credentials moved to it" in second.stdout
    assert validated.returncode == 0, validated.stderr
    assert KEY not in first.stdout + second.stdout + first.stderr + second.stderr


def test_moving_alone_makes_no_version(loaded):
    before = json.loads(loaded("keys", "rotate", "--rewrap-only", "--json").stdout)
    after = json.loads(loaded("keys", "rotate", "--rewrap-only", "--json").stdout)

    assert after == before
    assert (after["rotated"], after["rewrapped"], after["current"]) == (False, 0, 1)
