"""Output of the commands (safe text, tables, strict JSON, progress), and their options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.__main__ import build_parser
from vlmrb.cli import text
from vlmrb.cli.options import given_config, step_count
from vlmrb.cli.progress import Progress
from vlmrb.config import TrainConfig, make_config
from vlmrb.types import Event


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07x", "x"),
        ("\x1b]52;c;Y29weQ==\x1b\\x", "x"),
        ("\x9b2Jx", "x"),
        ("left\u202eright", "leftright"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("λ × “” stays", "λ × “” stays"),
        ("\x1b", ""),
    ],
)
def test_plain_text_cannot_control_the_terminal(given_text: str, expected: str) -> None:
    assert text.plain(given_text) == expected


@given(st.text())
def test_no_control_character_survives(anything: str) -> None:
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text.plain(anything))
    assert not any((ord(c) < 32 and c != "\n" and c != "\t") or 127 <= ord(c) < 160 for c in text.plain(anything, lines=True))


@given(st.text(), st.integers(1, 30))
def test_shortened_text_fits_the_width(anything: str, width: int) -> None:
    assert len(text.shorten(anything, width)) <= width


def test_a_table_is_aligned_and_its_cells_are_made_plain(capsys: pytest.CaptureFixture[str]) -> None:
    text.print_table(["a", "bb"], [["\x1b[1mlong\x1b[0m", 1], ["x", 22]])
    assert capsys.readouterr().out == "a     bb\nlong  1\nx     22\n"


def test_a_markdown_table_escapes_bars(capsys: pytest.CaptureFixture[str]) -> None:
    text.print_table(["a", "b"], [["|δ|", 1]], markdown=True)
    assert capsys.readouterr().out == "| a | b |\n|---|---|\n| \\|δ\\| | 1 |\n"


def test_json_is_strict_one_line_and_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    text.print_json(
        {
            "array": np.array([1.5, np.nan]),
            "number": np.float32(0.5),
            "path": Path("a/b"),
            "event": Event("opened", "door"),
            "nested": [{"inf": float("inf")}],
            "text": "\x9bλ",
            3: {1},
        }
    )
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.isascii()
    assert json.loads(out) == {
        "array": [1.5, None],
        "number": 0.5,
        "path": "a/b",
        "event": {"name": "opened", "object": "door", "color": ""},
        "nested": [{"inf": None}],
        "text": "\x9bλ",
        "3": [1],
    }


@pytest.mark.parametrize(("value", "expected"), [(None, "–"), (140_000, "140k"), (99, "99"), (1_234, "1234"), (2_500, "2.5k")])
def test_step_counts_are_abbreviated(value: float | None, expected: str) -> None:
    assert text.steps(value) == expected


@pytest.mark.parametrize(
    ("given_text", "expected"), [("100000", 100_000), ("100_000", 100_000), ("1e5", 100_000), ("1.5k", 1_500), ("2M", 2_000_000)]
)
def test_step_counts_can_be_given_in_short_form(given_text: str, expected: int) -> None:
    assert step_count(given_text) == expected


@pytest.mark.parametrize("wrong", ["", "k", "-1", "1.5", "nan", "inf", "many"])
def test_invalid_step_counts_are_rejected(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        build_parser().parse_args(["compare", "--at", wrong] if not wrong.startswith("-") else ["compare", f"--at={wrong}"])
    assert left.value.code == 2
    assert "number of steps" in capsys.readouterr().err


# -- options of train


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


@pytest.mark.parametrize("name", TrainConfig.model_fields)
def test_every_setting_is_an_option_that_takes_its_default(name: str) -> None:
    default = TrainConfig.model_fields[name].default
    if isinstance(default, bool):
        words = [flag_of(name) if default else "--no-" + name.replace("_", "-")]
    else:
        words = [flag_of(name), "none" if default is None else str(default)]
    given_settings = given_config(build_parser().parse_args(["train", *words]))
    assert set(given_settings) == {name}
    config = make_config(**({"scorer": "oracle"} | given_settings if name != "scorer" else {"replay": "per"} | given_settings))
    assert getattr(config, name) == default


def test_without_options_no_setting_is_given() -> None:
    assert given_config(build_parser().parse_args(["train"])) == {}


def test_train_help_lists_every_setting_with_range_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        build_parser().parse_args(["train", "--help"])
    assert left.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for name in TrainConfig.model_fields:
        assert flag_of(name) in out
    for words in (
        "(vlm only; 0 to 1; default: 0.5)",
        "(default: off)",
        "{dqn,iqn,sac,td3}",
        "--no-double",
        "example: python -m vlmrb train",
    ):
        assert words in out


@pytest.mark.parametrize(
    "command", ["train", "runs", "show", "curve", "clips", "clip", "control", "score", "trial", "compare", "doctor", "prompts"]
)
def test_the_help_of_every_command_has_an_example_and_the_shared_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        build_parser().parse_args([command, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    for words in ("example:", f"python -m vlmrb {command}", "--store URL", "--json"):
        assert words in out


# -- progress


def test_progress_without_a_terminal_prints_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vlmrb.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    with Progress(200, "steps") as progress:
        progress.update(50, "success 10 %\x1b[2J")
        progress.note("scoring came back")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "50/200 steps (25 %) success 10 %\nscoring came back\n"


def test_quiet_progress_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vlmrb.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    with Progress(200, "steps", quiet=True) as progress:
        progress.update(50)
        progress.note("hello")
    assert capsys.readouterr() == ("", "")
