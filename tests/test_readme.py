"""Every command and path of the README is real."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vlmrb.__main__ import build_parser
from vlmrb.cli.options import given_config
from vlmrb.config import make_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def shell_lines(document: str) -> list[str]:
    """The commands of the bash blocks, those joined by && one by one."""
    blocks = re.findall(r"```bash\n(.*?)```", document, re.DOTALL)
    return [part.strip() for block in blocks for line in block.splitlines() for part in line.split("&&") if part.strip()]


def inline_code(document: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", document, flags=re.DOTALL))


def our_commands() -> list[str]:
    with_arguments = [code for code in inline_code(README) if code.startswith("python -m vlmrb ") and len(code.split()) > 4]
    return [line for line in shell_lines(README) if line.startswith("python -m vlmrb ")] + with_arguments


def marked(name: str) -> str:
    found = re.search(rf"^<!-- {name} -->\n```bash\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README lacks the marker <!-- {name} -->"
    return found.group(1)


def test_the_readme_shows_every_command() -> None:
    commands = next(action for action in build_parser()._actions if action.choices).choices
    shown = {shlex.split(line)[3] for line in our_commands()} | {code.split()[0] for code in inline_code(README)}
    assert set(commands) <= shown


@pytest.mark.parametrize("line", sorted(set(our_commands())))
def test_each_command_parses(line: str) -> None:
    try:
        arguments = build_parser().parse_args(shlex.split(line)[3:])
    except SystemExit as left:
        assert left.code == 0, line  # --help  # noqa: PT017
        return
    if shlex.split(line)[3] == "train" and not arguments.resume:
        make_config(**given_config(arguments))


def test_the_first_run_installs_and_trains_in_one_line() -> None:
    line = marked("first run")
    assert "\n" not in line
    assert "pip install -e ." in line
    assert "python -m vlmrb train" in line


def test_the_tests_run_in_one_line() -> None:
    line = marked("tests")
    assert "\n" not in line
    assert "python -m pytest" in line


def test_ci_runs_the_lines_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for name in ("first run", "tests"):
        assert f"readme '{name}'" in script


@pytest.mark.parametrize("document", [README, CONTRIBUTING])
def test_every_path_exists(document: str) -> None:
    here = ROOT if document is README else ROOT / ".github"
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", document) if "://" not in target]
    code = [
        part
        for text in inline_code(document)
        for part in text.split()
        if re.fullmatch(r"\.?(vlmrb|tests|assets|app)/[\w/.]+", part)
    ]
    for path in links:
        assert (here / path).exists(), path
    for path in code:
        assert (ROOT / path).exists(), path


def test_every_extra_that_is_named_exists() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"\.\[([^\]]+)\]'", README + CONTRIBUTING))
    assert {"test", "dm-control"} <= named <= set(project["optional-dependencies"])


def test_every_scorer_of_the_table_is_a_known_kind() -> None:
    from vlmrb.scoring import check_scorer

    filled_in = {"<hub id or folder>": "some/model", "<base-url>#<model>": "http://127.0.0.1:8000/v1#some", "<rate>": "0.5"}
    table = README.split("| scorer | what it is |")[1].split("\n\n")[0]
    kinds = set()
    for code in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE):
        kind, _, rest = code.partition(":")
        kinds.add(kind)
        check_scorer(f"{kind}:{filled_in[rest]}" if rest else kind)
    assert kinds == {"embedded", "hf", "openai", "oracle", "reward", "random"}


@pytest.mark.slow
def test_the_first_run_works_with_fewer_steps(tmp_path: Path) -> None:
    command = next(part for part in marked("first run").split("&&") if "vlmrb train" in part)
    shorter = re.sub(r"--total-steps \d+", "--total-steps 3000", command)
    assert shorter != command
    words = [sys.executable, *shlex.split(shorter)[1:], "--store", str(tmp_path / "runs.db"), "--json"]
    outcome = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert outcome.returncode == 0, outcome.stderr
    assert '"run_id": 1' in outcome.stdout.splitlines()[-1]
