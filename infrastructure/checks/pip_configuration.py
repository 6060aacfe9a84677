"""The pip configuration of this machine as one file, and the local folders and certificates that it names.

Arguments: the file to write. Prints one path a line.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit


def read_options() -> dict[str, str]:
    """Option to value; the environment comes last in pip's own list, as it wins over files there too."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    options = {}
    for line in sorted(listed.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        options[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return options


def find_paths(options: dict[str, str]) -> set[str]:
    words = [word for value in options.values() for word in value.split()]
    paths = [Path(urlsplit(word).path) for word in words if word.startswith(("/", "file:"))]
    folders = [path.parent if path.name == "simple" else path for path in paths]  # an index's files lie beside it
    return {str(path) for path in folders if path.exists()}


def main() -> None:
    options = read_options()
    lines = [f"{name} = {value}\n" for name, value in options.items()]
    Path(sys.argv[1]).write_text("[global]\n" + "".join(lines))
    sys.stdout.writelines(f"{path}\n" for path in sorted(find_paths(options)))


main()
