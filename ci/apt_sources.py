"""The machine's own Debian source of apt, for other suites: its mirror, keys and options stay as they are.

    apt_sources.py DIRECTORY SUITE...

Writes to DIRECTORY a copy of each source that has the release this machine runs, with SUITE instead, and `main` only.
The release's updates and its security archive have other suites' names, and are not taken. apt skips, with a message,
a source that has no such suite.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["one_line", "stanzas"]

ALIASES = ("stable", "oldstable", "oldoldstable")
_ONE_LINE = re.compile(r"deb\s+(?P<options>\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


def one_line(text: str, releases: Sequence[str], suites: Sequence[str]) -> str:
    """Of the text of a `.list` file: the lines for `suites` instead of any of `releases`."""
    found = (_ONE_LINE.fullmatch(line.partition("#")[0].strip()) for line in text.splitlines())
    return "".join(
        f"deb {line['options'] or ''}{line['uri']} {suite} main\n"
        for line in found
        if line and line["suite"] in releases and "main" in line["components"].split()
        for suite in suites
        if not line["uri"].startswith("cdrom:")
    )


def stanzas(text: str, releases: Sequence[str], suites: Sequence[str]) -> str:
    """Of the text of a `.sources` file: the stanzas for `suites` instead of any of `releases`."""
    return "\n".join(
        "".join(f"{name}:{value}\n" for name, value in {**fields, **_fields_for(suites)}.items())
        for fields in map(dict, map(_fields, re.split(r"\n(?:[ \t]*\n)+", text)))
        if "deb" in fields.get("Types", "").split()
        and "main" in fields.get("Components", "").split()
        and fields.get("Enabled", "yes").strip().lower() not in ("no", "false", "0", "off", "without", "disable")
        and set(releases) & set(fields.get("Suites", "").split())
    )


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    """Each name, spelled as in apt's manual, with its value, that may go on in further lines."""
    lines = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
    for name, value in re.findall(r"^([^\s:]+):(.*(?:\n[ \t].*)*)", lines, re.MULTILINE):
        yield "URIs" if name.lower() == "uris" else name.title(), value


def _fields_for(suites: Sequence[str]) -> dict[str, str]:
    return {"Types": " deb", "Suites": f" {' '.join(suites)}", "Components": " main"}


def main(directory: Path, suites: Sequence[str]) -> int:
    release = re.search(r'^VERSION_CODENAME="?(\w+)', Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    releases = (release[1], *ALIASES) if release else ALIASES
    sources = [_configured("Dir::Etc::sourcelist/f"), *sorted(_configured("Dir::Etc::sourceparts/d").glob("*"))]
    written = 0
    for number, source in enumerate(source for source in sources if source.is_file()):
        derive = {".list": one_line, ".sources": stanzas}.get(source.suffix)
        text = derive(source.read_text(encoding="utf-8"), releases, suites) if derive else ""
        if text:
            (directory / f"{number}{source.suffix}").write_text(text, encoding="utf-8")
            written += 1
    if not written:
        named = " or ".join(releases)
        print(f"no source of apt on this machine has main of {named} in /etc/apt: add one, see sources.list(5)",
              file=sys.stderr)  # fmt: skip
    return 0 if written else 1


def _configured(name: str) -> Path:
    said = subprocess.run(("apt-config", "shell", "X", name), capture_output=True, text=True, check=True).stdout
    return Path(said.strip().removeprefix("X='").removesuffix("'") or "/nonexistent")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
