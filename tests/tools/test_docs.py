"""Documentation must not name files that are not there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDERS = tuple(f"{p.name}/" for p in ROOT.iterdir() if p.is_dir() and p.name != "build")
DOCUMENTS = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_that_a_document_names_exist(document):
    words = re.findall(r"`([^`\n]+)`", (ROOT / document).read_text())
    paths = {w.split()[0] for w in words if w.startswith(FOLDERS)}
    missing = [p for p in sorted(paths) if not list(ROOT.glob(p.rstrip("/")))]
    assert not missing
