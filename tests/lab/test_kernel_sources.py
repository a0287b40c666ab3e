"""`ci/kernel` uses the mirror, the keys and the options of apt on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT

RELEASE = re.search(r'^VERSION_CODENAME="?(\w+)', Path("/etc/os-release").read_text(), re.MULTILINE)
KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----"


def derived(tmp_path: Path, *, suites: tuple[str, ...] = ("new",), **sources: str) -> list[str]:
    """The indexes that apt reads from the derived sources, one line each: `URI suite component`."""
    parts, output = tmp_path / "sources.list.d", tmp_path / "derived"
    for directory in (parts, output):
        directory.mkdir()
    for name, text in sources.items():
        file, _, suffix = name.rpartition("_")
        (parts / f"{file}.{suffix}").write_text(text.replace("RELEASE", RELEASE[1] if RELEASE else "stable"))
    configuration = tmp_path / "apt.conf"
    configuration.write_text(f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{parts}/";')
    environment = {**os.environ, "APT_CONFIG": str(configuration)}
    argv = [sys.executable, str(CHECKOUT / "ci/apt_sources.py"), str(output), *suites]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    configuration.write_text(f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{output}/";')
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    argv = ["apt-get", "indextargets", "--no-release-info", "--format", form, "Created-By: Packages"]
    listed = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout
    return sorted(set(listed.splitlines()))


def test_source_in_one_line_format_is_derived(tmp_path: Path) -> None:
    text = "# deb http://no RELEASE main\n deb  http://a.test/debian/ RELEASE main contrib # ours\n"
    assert derived(tmp_path, a_list=text) == ["http://a.test/debian/ new main"]


def test_options_of_a_line_are_kept(tmp_path: Path) -> None:
    text = "deb [ arch=amd64 signed-by=/k.gpg ] http://a.test/debian RELEASE main\n"
    assert derived(tmp_path, a_list=text) == ["http://a.test/debian/ new main"]
    assert (tmp_path / "derived/0.list").read_text() == (
        "deb [ arch=amd64 signed-by=/k.gpg ] http://a.test/debian new main\n"
    )


@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end\n"])
def test_stanza_with_several_addresses_is_derived(tmp_path: Path, end: str) -> None:
    text = """# A comment
types: deb deb-src
URIs: http://a.test/debian
  http://b.test/debian
Suites: RELEASE RELEASE-updates
# another
Components: main non-free
Architectures: amd64
Signed-By: /k.gpg"""
    assert derived(tmp_path, a_sources=text + end, suites=("new", "newer")) == [
        "http://a.test/debian/ new main",
        "http://a.test/debian/ newer main",
        "http://b.test/debian/ new main",
        "http://b.test/debian/ newer main",
    ]
    assert "Architectures: amd64\nSigned-By: /k.gpg\n" in (tmp_path / "derived/0.sources").read_text()


def test_key_inside_a_stanza_is_kept(tmp_path: Path) -> None:
    text = f"Types: deb\nURIs: http://a.test/debian\nSuites: RELEASE\nComponents: main\nSigned-By:\n {KEY}\n"
    assert derived(tmp_path, a_sources=text) == ["http://a.test/debian/ new main"]
    assert KEY in (tmp_path / "derived/0.sources").read_text()


def test_other_suites_and_other_distributions_are_ignored(tmp_path: Path) -> None:
    stanza = "Types: {}\nURIs: http://no.test/debian\nSuites: {}\nComponents: {}\n{}\n"
    lines = "deb http://no.test RELEASE-updates main\ndeb http://no.test RELEASE/updates main\n\
deb-src http://no.test RELEASE main\ndeb cdrom:[x]/ RELEASE main\ndeb http://no.test RELEASE stable\n\
deb http://no.test ./\ndeb http://yes.test stable main\n"
    stanzas = (
        stanza.format("deb", "RELEASE-security", "main", "")
        + stanza.format("deb", "RELEASE", "main", "Enabled: no\n")
        + stanza.format("deb-src", "RELEASE", "main", "")
        + stanza.format("deb", "RELEASE", "contrib", "")
    )
    assert derived(tmp_path, a_list=lines, b_sources=stanzas, c_save=lines) == ["http://yes.test/ new main"]


def test_missing_debian_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        derived(tmp_path, a_list="deb http://no.test other main\n")
    assert b"no source of apt on this machine has main of" in failed.value.stderr


def test_no_script_names_a_host() -> None:
    for name in ("kernel", "apt_sources.py", "setup", "test", "lab", "demo"):
        assert "://" not in (CHECKOUT / "ci" / name).read_text()
