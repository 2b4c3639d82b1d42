"""Importing the package loads nothing heavy, and imports only point down."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vlmrb

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "gymnasium", "sqlalchemy", "numba", "numpy", "pydantic")


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = run_python("import sys, vlmrb; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert "vlmrb" in loaded and not set(HEAVY) & set(loaded)


def test_building_the_parser_loads_nothing_heavy() -> None:
    loaded = run_python("import sys; from vlmrb.__main__ import build_parser; build_parser(); print(*sys.modules)").split()
    assert not {"torch", "transformers", "gymnasium", "sqlalchemy", "numba"} & set(loaded)


def test_public_names_are_sorted_and_exist() -> None:
    assert vlmrb.__all__ == sorted(vlmrb.__all__)
    for name in vlmrb.__all__:
        assert getattr(vlmrb, name) is not None
    assert set(vlmrb.__all__) <= set(dir(vlmrb))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = vlmrb.no_such_name


def test_the_import_contracts_hold() -> None:
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    if tool is None:
        pytest.skip("import-linter is not installed; pip install -e '.[test]' installs it")
    outcome = subprocess.run([tool, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_no_module_unpickles_or_evaluates_stored_data() -> None:
    forbidden = re.compile(r"\bpickle\.loads?\(|(?<![\w.])eval\(|(?<![\w.])exec\(|weights_only=False|allow_pickle=True")
    for path in (ROOT / "vlmrb").rglob("*.py"):
        found = forbidden.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found.group()}"
