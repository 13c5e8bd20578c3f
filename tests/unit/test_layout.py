"""What the layout promises: imports go one way, wheels hold no tests."""

import ast
import runpy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.support import ROOT

_OURS = {"options", "pipeline", "runners", "transforms", "tests"}
_MAY_IMPORT = {
    "transforms": set[str](),
    "options": set[str](),
    "runners": {"options"},
    "pipeline": {"options", "runners", "transforms"},
}
# The project's vocabulary: these import nothing of ours, and all may import them.
_VOCABULARY = {"transforms.errors", "transforms.metric_names"}
# Functions that decide import no Beam, and so are tested and read without it.
_WITH_BEAM = {"kafka", "kafka_positions", "metrics", "postgres", "reconcile"}


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module not in _VOCABULARY:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", _MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert _imported(path) & _OURS <= _MAY_IMPORT[package] | {package}, path


@pytest.mark.parametrize("module", sorted(_VOCABULARY))
def test_the_vocabulary_imports_nothing_of_ours(module: str) -> None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert not _imported(path) & (_OURS | {"apache_beam"})


def test_functions_that_decide_import_no_beam() -> None:
    modules = (ROOT / "transforms").glob("*.py")
    assert {path.stem for path in modules if "apache_beam" in _imported(path)} == _WITH_BEAM


def test_wheels_hold_every_package_but_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    with patch("setuptools.setup", lambda **arguments: found.update(arguments)):
        runpy.run_path(str(ROOT / "setup.py"))
    assert set(found["packages"]) == _OURS - {"tests"}
