# ruff: noqa: INP001 (a script, no package)
"""Generate pinguin_grpc/wire from pinguin.proto; with --check, fail if that would change it.

Needs `betterproto[compiler]`, whose plugin protoc finds beside this Python, and `grpcio-tools`.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "pinguin_grpc"
WIRE = PACKAGE / "wire"
GENERATED = ("__init__.py", "pinguin/__init__.py", "pinguin.binpb")


def generate(folder: Path) -> None:
    """Write the classes, and the descriptors that reflection serves."""
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        f"-I{PACKAGE / 'proto'}",
        f"--python_betterproto_out={folder}",
        f"--descriptor_set_out={folder / 'pinguin.binpb'}",
        "--include_imports",
        "pinguin.proto",
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})  # noqa: S603 (our own words)


def outdated() -> list[str]:
    """Name the generated files that are not what the generator makes of pinguin.proto."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        _, changed, missing = filecmp.cmpfiles(folder, WIRE, GENERATED, shallow=False)
    return [*changed, *missing]


def main() -> int:
    """Generate or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    if not parser.parse_args().check:
        generate(WIRE)
        return 0
    names = outdated()
    for name in names:
        sys.stderr.write(f"{name} is not what pinguin.proto makes: run {Path(__file__).name}\n")
    return bool(names)


if __name__ == "__main__":
    raise SystemExit(main())
