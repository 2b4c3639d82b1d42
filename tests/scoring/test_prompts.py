"""Prompt presets and free text; where assets are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb import assets
from vlmrb.errors import ConfigError, VlmrbError
from vlmrb.scoring import prompts
from vlmrb.scoring.prompts import MAX_PROMPT_LENGTH, accepted_prompt, load_presets, resolve_prompt
from vlmrb.types import Prompt


def test_presets_include_the_papers_two_prompts() -> None:
    presets = load_presets()
    assert {"games", "manipulation", "progress", "milestones"} <= set(presets)
    for name, versions in presets.items():
        assert [prompt.version for prompt in versions] == list(range(1, len(versions) + 1))
        for prompt in versions:
            assert prompt.name == name
            assert all(question.count("?") == 1 for question in prompt.questions)
            assert len(prompt.questions) > 1 or prompt.text.endswith("Answer with one word: Yes or No.")
            assert prompt.prompt_id is None


def test_a_name_means_its_newest_version_unless_it_gives_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"mine": [{"version": 2, "text": "newer?"}, {"version": 1, "text": "older?"}]}))
    monkeypatch.setattr(prompts, "asset_path", lambda name: path)
    assert resolve_prompt("mine") == resolve_prompt(" mine\n") == Prompt("mine", 2, "newer?")
    assert resolve_prompt("mine@1") == Prompt("mine", 1, "older?")
    with pytest.raises(ConfigError, match=r"no preset 'mine@3'; choose from mine@1, mine@2"):
        resolve_prompt("mine@3")


def test_lines_that_all_start_with_a_dash_are_a_set_of_questions() -> None:
    text = "- Is it a key?\n\n  -  Is it a door? \n- Is it - or not - a goal?"
    prompt = resolve_prompt(text)
    assert prompt == Prompt("custom", 1, text)
    assert prompt.questions == ("Is it a key?", "Is it a door?", "Is it - or not - a goal?")
    assert resolve_prompt("- Is it?\n" * 16).questions == ("Is it?",) * 16
    for single in ("Is it a key?", "Look closely.\n- Is it a key?\n- Is it a door?", "-Is it a key?", "-1 or -2?"):
        assert resolve_prompt(single).questions == (single,)


def test_a_set_may_have_weights_and_a_rule() -> None:
    prompt = resolve_prompt("mean of\n- [2] Is it a key?\n- [0.25] Is it a door?\n-  Is it [3] a goal?")
    assert (prompt.rule, prompt.weights) == ("mean", (2.0, 0.25, 1.0))
    assert prompt.questions == ("Is it a key?", "Is it a door?", "Is it [3] a goal?")
    for head, rule in (("any of", "any"), ("ALL of:", "all"), ("Mean of:", "mean")):
        assert resolve_prompt(f"{head}\n\n- Is it?\n- Was it?").rule == rule
    for single in ("mean of\nwhat is it?", "all of", "all of these\n- Is it?"):
        assert (resolve_prompt(single).questions, resolve_prompt(single).rule) == ((single,), "any")
    assert resolve_prompt("- [x] Is it checked?").questions == ("[x] Is it checked?",)


@pytest.mark.parametrize("weight", ["0", "-1", "101", "0.0", "999999999"])
def test_a_weight_out_of_range_is_refused(weight: str) -> None:
    with pytest.raises(ConfigError, match=r"question 2 has the weight .*; allowed: above 0, up to 100"):
        resolve_prompt(f"- Is it?\n- [{weight}] Was it?")


def test_text_is_a_custom_prompt() -> None:
    assert resolve_prompt("  Has the robot e@ten the apple?\n") == Prompt("custom", 1, "Has the robot e@ten the apple?")
    assert resolve_prompt("Success?") == Prompt("custom", 1, "Success?")


@pytest.mark.parametrize("name", ["gmaes", "games@", "games@0", "games@99", "games@one", "games@1.0", "Games", "nothing@1"])
def test_an_unknown_name_or_version_lists_what_exists(name: str) -> None:
    with pytest.raises(ConfigError, match=r"choose from games@1, manipulation@1, progress@1, .*more than one word"):
        resolve_prompt(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("why? " * 2000, f"has 9999 characters; allowed: up to {MAX_PROMPT_LENGTH}"),
        ("is it\0done?", "control character"),
        ("\x1b[31mred? yes", "control character"),
        ("- Is it?\n" * 17, "is a set of 17 questions; allowed: up to 16"),
        ("- Is it a key?\n-\n- Is it a door?", "question 2 of 3 is empty; allowed: 1 to 16 questions"),
        ("half a \ud83d smile?", "control character"),
    ],
)
def test_text_that_cannot_be_a_prompt_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_prompt(text)


@given(st.text(max_size=200))
def test_any_text_is_a_storable_prompt_or_refused(text: str) -> None:
    try:
        prompt = resolve_prompt(text)
    except ConfigError:
        return
    assert prompt.text.encode().decode() == prompt.text
    assert prompt.name in (*load_presets(), "custom")


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"games": 3}', '{"games": [{"text": "?"}]}', '{"games": [{"version": 1, "text": ""}]}']
)
def test_damaged_presets_say_so(content: str, tmp_path, monkeypatch) -> None:
    (tmp_path / "prompts.json").write_text(content)
    monkeypatch.setattr(prompts, "asset_path", lambda name: tmp_path / name)
    with pytest.raises(VlmrbError, match=r"preset file .*prompts\.json is damaged .*reinstall VLM-RB"):
        load_presets()


def test_assets_of_a_checkout_are_next_to_the_package() -> None:
    assert assets.asset_path("prompts.json") == Path(assets.__file__).parents[1] / "assets" / "prompts.json"


def test_assets_of_an_installation_are_under_share(tmp_path, monkeypatch) -> None:
    package = tmp_path / "lib" / "site-packages" / "vlmrb"
    foreign = tmp_path / "lib" / "site-packages" / "assets"
    ours = tmp_path / "share" / "vlmrb" / "assets"
    for folder in (package, foreign, ours):
        folder.mkdir(parents=True)
        (folder / "prompts.json").write_text("{}")
    monkeypatch.setattr(assets, "__file__", str(package / "assets.py"))
    monkeypatch.setattr(assets.sysconfig, "get_path", {"data": str(tmp_path)}.get)  # on Debian not sys.prefix
    assert assets.asset_path("prompts.json") == ours / "prompts.json"


@pytest.mark.parametrize("name", ["absent.json", "../pyproject.toml", "/etc/passwd"])
def test_a_missing_asset_is_reported(name: str) -> None:
    with pytest.raises(VlmrbError, match="not found; looked in"):
        assets.asset_path(name)


@pytest.mark.parametrize(
    "setting", ["games", " games@1\n", "Does it jump?", "  any of\n- Does it jump?\n- Or run?  ", "Is {goal} met? "]
)
def test_what_was_accepted_once_is_the_same_prompt_again(setting: str) -> None:
    assert accepted_prompt(setting) == resolve_prompt(setting)
    assert accepted_prompt(setting).text == accepted_prompt(setting).text.strip()
