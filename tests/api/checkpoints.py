"""Tiny checkpoints for tests, made by tools/make_checkpoint.py with the demo model's tokenizer."""

import pathlib
import sys

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import make_checkpoint  # noqa: E402

SMALL_CACHE = ("--cache-memory", "16MiB")  # else a server takes, and fills, a quarter of the machine's memory
VOCABULARY, HIDDEN = 544, 64  # of the preset tiny-v3


def make(folder: pathlib.Path, *flags: str, preset: str = "tiny-v3", faults: dict[str, float] | None = None):
    """Makes a checkpoint; `faults`: tensor or tensor:index → the value put there."""
    parts = [part for place, value in (faults or {}).items() for part in ("--set", f"{place}={value}")]
    make_checkpoint.main([preset, str(folder), "--tokenizer", str(ROOT / "models/demo"), *flags, *parts])
    return folder
