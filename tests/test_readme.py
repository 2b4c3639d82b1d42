"""Every command and path in the README and the documents it links to is valid."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vlmrb.__main__ import build_parser
from vlmrb.cli.options import given_config
from vlmrb.config import make_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / ".github" / "ARCHITECTURE.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "assets" / "results").rglob("*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GUIDES = sorted((ROOT / "assets" / "deploy").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md")), *RESULTS, *GUIDES]


def shell_lines(document: str) -> list[str]:
    """The commands in the bash blocks, split at &&."""
    blocks = re.findall(r"```bash\n(.*?)```", document, re.DOTALL)
    return [part.strip() for block in blocks for line in block.splitlines() for part in line.split("&&") if part.strip()]


def inline_code(document: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", document, flags=re.DOTALL))


def our_commands(document: str) -> list[str]:
    with_arguments = [code for code in inline_code(document) if code.startswith("python -m vlmrb ") and len(code.split()) > 4]
    return [line for line in shell_lines(document) if line.startswith("python -m vlmrb ")] + with_arguments


def subparsers() -> dict[str, argparse.ArgumentParser]:
    return next(action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))


def marked(name: str) -> str:
    found = re.search(rf"^<!-- {name} -->\n```bash\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README lacks the marker <!-- {name} -->"
    return found.group(1)


def test_the_readme_mentions_every_command() -> None:
    shown = {shlex.split(line)[3] for line in our_commands(README)} | {code.split()[0] for code in inline_code(README)}
    assert set(subparsers()) <= shown


@pytest.mark.parametrize("line", sorted({line for path in DOCUMENTS for line in our_commands(path.read_text(encoding="utf-8"))}))
def test_each_command_parses(line: str) -> None:
    try:
        arguments = build_parser().parse_args(shlex.split(line)[3:])
    except SystemExit as left:
        assert left.code == 0, line  # --help  # noqa: PT017
        return
    if shlex.split(line)[3] == "train" and not arguments.resume:
        make_config(**given_config(arguments))


def test_one_line_installs_the_project_and_trains() -> None:
    line = marked("first run")
    assert "\n" not in line
    assert "pip install -e ." in line
    assert "python -m vlmrb train" in line


def test_one_line_runs_the_tests() -> None:
    line = marked("tests")
    assert "\n" not in line
    assert "python -m pytest" in line


def test_ci_runs_the_lines_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for name in ("first run", "tests"):
        assert f"readme '{name}'" in script


@pytest.mark.parametrize(("study", "runs"), [("doorkey", 35), ("robots", 24)])
def test_the_commands_behind_a_results_table_start_valid_runs(study: str, runs: int) -> None:
    document = (ROOT / "assets" / "results" / study / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```bash\n(.*?done) \| xargs -P 2 -L 1 python -m vlmrb train (--quiet)\n", document, re.DOTALL)
    assert found
    lines = subprocess.run(["bash", "-c", found[1]], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(set(lines)) == runs
    for line in lines:
        make_config(**given_config(build_parser().parse_args(["train", found[2], *shlex.split(line)])))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    code = [
        part
        for code in inline_code(text)
        for part in code.split()
        if re.fullmatch(r"\.?(vlmrb|tests|assets|app|github|ci)/[\w/.]+", part)
    ]
    for path in links:
        assert (document.parent / path).exists(), path
    for path in code:
        assert (ROOT / path).exists(), path


def definitions(tree: ast.AST, prefix: str = "") -> set[str]:
    """Names of the functions and classes of a module, methods as 'Class.method'."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found |= {prefix + node.name} | (definitions(node, f"{node.name}.") if isinstance(node, ast.ClassDef) else set())
    return found


def test_every_function_of_the_architecture_is_in_its_file() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \| `([\w.]+)` \|", ARCHITECTURE, re.MULTILINE)
    assert len(rows) > 20
    for path, name in rows:
        assert name in definitions(ast.parse((ROOT / path).read_text(encoding="utf-8"))), f"{path}: {name}"


@pytest.mark.parametrize("package", ["vlmrb", "app"])
def test_the_architecture_names_every_module_at_the_top_of_a_package(package: str) -> None:
    modules = [path for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    names = {f"`{package}/{path.name}{'/' if path.is_dir() else ''}`" for path in modules if path.name != "__init__.py"}
    assert len(names) > 10
    assert {name for name in names if name not in ARCHITECTURE} == set()


def test_every_extra_mentioned_exists() -> None:
    given = [found for each in DOCUMENTS for found in re.findall(r"\.\[([^\]]+)\]'", each.read_text(encoding="utf-8"))]
    named = {name for found in given for name in found.split(",")}
    assert {"test", "dm-control"} <= named <= set(PROJECT["optional-dependencies"])


def test_the_results_index_links_to_every_study() -> None:
    index = (ROOT / "assets" / "results" / "README.md").read_text(encoding="utf-8")
    studies = [path.relative_to(ROOT / "assets" / "results") for path in RESULTS if path.parent.name != "results"]
    assert studies
    for study in studies:
        assert f"]({study.as_posix()})" in index, study


def test_ci_runs_one_script_on_every_supported_python() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    supported = {name.rsplit(" ", 1)[1] for name in PROJECT["classifiers"] if re.fullmatch(r".*Python :: 3\.\d+", name)}
    assert supported
    assert supported <= set(re.findall(r'"(3\.\d+)"', workflow))
    assert re.findall(r"run: (.*)", workflow) == ["bash .ci/run"]


def test_the_changelog_has_an_entry_for_the_current_version() -> None:
    changelog = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(PROJECT['version'])}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)


def test_every_replay_method_is_in_the_table() -> None:
    table = README.split("| `--replay` |")[1].split("\n\n")[0]
    shown = set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))
    choices = next(action.choices for action in subparsers()["launch"]._actions if action.dest == "methods")
    assert choices
    assert set(choices) <= shown


def test_every_scorer_in_the_table_is_valid() -> None:
    from vlmrb.scoring import check_scorer

    filled_in = {"<hub id or folder>": "some/model", "<base-url>#<model>": "http://127.0.0.1:8000/v1#some", "<rate>": "0.5"}
    filled_in["<base-url>"] = "http://127.0.0.1:7870"
    table = README.split("| scorer | what it is |")[1].split("\n\n")[0]
    kinds = set()
    for code in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE):
        kind, _, rest = code.partition(":")
        kinds.add(kind)
        check_scorer(f"{kind}:{filled_in[rest]}" if rest else kind)
    assert kinds == {"embedded", "hf", "openai", "shared", "oracle", "reward", "random"}


@pytest.mark.slow
def test_the_first_run_works_with_fewer_steps(tmp_path: Path) -> None:
    command = next(part for part in marked("first run").split("&&") if "vlmrb train" in part)
    shorter = re.sub(r"--total-steps \d+", "--total-steps 3000", command)
    assert shorter != command
    words = [sys.executable, *shlex.split(shorter)[1:], "--store", str(tmp_path / "runs.db"), "--json"]
    outcome = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert outcome.returncode == 0, outcome.stderr
    assert '"run_id": 1' in outcome.stdout.splitlines()[-1]
