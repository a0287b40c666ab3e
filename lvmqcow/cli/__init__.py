"""The command line: ``lvmqcow VERB …``. stdout is data, stderr is everything else.

One module a group of verbs; each verb is a function from parsed arguments to an exit status, and prints through
`Output`, which knows whether a person, a pipe or a program reads.
"""

from __future__ import annotations

from lvmqcow.cli.main import main

__all__ = ["main"]
