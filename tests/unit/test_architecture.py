"""The folder listing is the architecture: a package imports what is below it, and the pure half touches nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lvmqcow

PACKAGE = Path(lvmqcow.__file__).parent
FLOORS = (
    {"units"},
    {"errors"},
    {"core"},
    {"formats"},
    {"steps"},
    {"operations"},
    {"system"},
    {"lvm", "qemu"},
    {"engine"},
    {"checks"},
    {"info", "real_host"},
    {"volume"},
    {"storage"},
    {"proxmox", "seams", "lab"},
    {"testing"},
    {"cli"},
)
"""From the bottom to the top. Packages of one floor may not import each other."""
PURE = {"core", "formats", "steps", "operations", "units", "errors"}
WORLD = {"asyncio", "ctypes", "fcntl", "io", "mmap", "multiprocessing", "os", "pathlib", "pty", "select", "shutil"}
WORLD |= {"signal", "socket", "subprocess", "sys", "tempfile", "threading", "time"}
MOST_LINES = 400
MOST_MODULES = 14
ROOMS = "operations"
"""A folder with a module for each operation: the modules are a list, and grow with what lvmqcow can do."""


def modules() -> dict[str, Path]:
    return {_dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: str, path: Path) -> Iterator[str]:
    """The modules that a module imports: ours by their full name, all others by their first word."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    known = modules()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join((*above, *((node.module,) if node.module else ())))
            for alias in node.names:
                yield f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source


def room(module: str) -> str:
    """The package or top-level module that a module of ours is in."""
    return module.split(".")[1] if "." in module else ""


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


def test_every_package_has_a_floor() -> None:
    unplaced = {room(module) for module in modules()} - {"", "__main__"} - set().union(*FLOORS)
    assert unplaced == set()


def test_a_package_imports_only_what_lies_below_it() -> None:
    upwards = [
        f"{module} imports {imported}"
        for module, path in modules().items()
        if room(module) not in ("", "__main__")
        for imported in imports(module, path)
        if imported.startswith("lvmqcow.")
        and room(imported) != room(module)
        and floor(room(imported)) >= floor(room(module))
    ]
    assert upwards == []


def test_modules_import_each_other_in_no_circle() -> None:
    """A package that is imported for a module inside it is not counted: rooms of one list come through the list."""
    graph = {
        module: {each for each in imports(module, path) if each in modules() and each != module}
        for module, path in modules().items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_the_pure_half_touches_no_process_file_or_socket() -> None:
    touching = [
        f"{module} imports {imported}"
        for module, path in modules().items()
        if room(module) in PURE
        for imported in imports(module, path)
        if imported.split(".")[0] in WORLD
    ]
    assert touching == []


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    long = {
        module: lines
        for module, path in modules().items()
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_no_folder_has_more_modules_than_a_person_sees_at_once() -> None:
    full = {
        str(folder.relative_to(PACKAGE)): count
        for folder in {path.parent for path in modules().values()}
        if (count := len(list(folder.glob("*.py")))) > MOST_MODULES and folder.name != ROOMS
    }
    assert full == {}
