"""Find the entries of the machine's /tmp, /run and /dev/shm that a command in User-mode Linux needs.

In the lab these directories are empty. But a virtual environment, a checkout or a program may be in one of them, and a
command that names such a file must find it. So if a word of the command line or of a variable names a file there, the
lab shows its entry: `/tmp/venv` for `/tmp/venv/bin/python`, because a program needs the files around it. The text of a
script is not searched.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

from ..guest.job import Job
from ..guest.shown import OWN_PLACES

__all__ = ["named_entries"]

_MOST_LINKS = 40  # as the kernel has it


def named_entries(job: Job) -> tuple[str, ...]:
    """Return the paths such as "/tmp/venv" to which the job's words lead, without the job's shared directory."""
    words = (word for text in (*job.argv, *job.environment.values()) for word in _words(text))
    found = {entry for word in words for entry in _entries(os.path.join(job.directory, word), job.directory)}
    program = shutil.which(job.argv[0], path=job.environment.get("PATH", os.defpath))
    if program is not None:
        found.update(_entries(os.path.join(job.directory, program), job.directory))
    return tuple(sorted(found))


def _words(text: str) -> Iterator[str]:
    """Yield the parts of a word that may be paths: the word, what follows `--option=`, and the parts of a list."""
    for word in {text, text.partition("=")[2], *text.split(":"), *re.split("[:=]", text)}:
        if "/" in word and "\0" not in word:
            yield word


def _entries(path: str, shared: str) -> set[str]:
    """Yield the entries of the lab's own places that lead to `path`. Paths in `shared`, or to it, need none."""
    way = list(_way(path))
    elsewhere = [at for at in way[:-1] if not _is_within(shared, at) and not _is_within(at, shared)]
    if way and not _is_within(way[-1], shared):
        elsewhere.append(way[-1])
    return {
        os.path.join(place, os.path.relpath(at, place).split("/")[0])
        for at in elsewhere
        for place in OWN_PLACES
        if at != place and _is_within(at, place)
    }


def _is_within(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")


def _way(path: str) -> Iterator[str]:
    """Yield every existing name on the way to `path`, including symbolic links and their targets."""
    at, rest, links = "/", path.split("/"), 0
    while rest and links <= _MOST_LINKS:
        name = rest.pop(0)
        if name in ("", "."):
            continue
        at = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        if not os.path.lexists(at):
            return
        yield at
        if os.path.islink(at):
            target = os.readlink(at)
            links += 1
            rest = [*target.split("/"), *rest]
            at = "/" if target.startswith("/") else os.path.dirname(at)
