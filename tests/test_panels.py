"""What the names of votes and cascades mean, and what their members' answers come to."""

from __future__ import annotations

import itertools

import pytest

from vlmrb.config import make_config
from vlmrb.errors import ConfigError, ScorerSetupError
from vlmrb.jobs.launching import from_anywhere
from vlmrb.panels import (
    Member,
    Panel,
    combine,
    in_doubt,
    is_control,
    listed_scorer,
    parse_panel,
    reads_prompt,
    short_scorer,
)
from vlmrb.scoring import check_scorer, fit_to_pictures, settle_scorer
from vlmrb.store.runs import default_name

MAJORITY, MEAN = (Panel(rule, ()) for rule in ("majority", "mean"))
CASCADE = Panel("cascade", ())


@pytest.mark.parametrize(
    "scorer", ["embedded", "oracle", "random:0.5", "hf:/a|b", "openai:http://h/v1#vote:a|b", "voting:a|b", ""]
)
def test_a_scorer_alone_is_no_panel(scorer: str) -> None:
    assert parse_panel(scorer) is None and short_scorer(scorer) == short_scorer(short_scorer(scorer))


SMALL, RIGHT = Member("embedded"), Member("oracle")
"""Members of the panels below."""


@pytest.mark.parametrize(
    ("scorer", "panel"),
    [
        ("vote:embedded|oracle", Panel("majority", (SMALL, RIGHT))),
        ("vote:majority:embedded|oracle", Panel("majority", (SMALL, RIGHT))),
        ("vote:mean: embedded | hf:/a b ", Panel("mean", (SMALL, Member("hf:/a b")))),
        ("vote:embedded:robots|oracle", Panel("majority", (Member("embedded:robots"), RIGHT))),
        ("vote:openai:http://h:80/v1#m|oracle", Panel("majority", (Member("openai:http://h:80/v1#m"), RIGHT))),
        ("vote:oracle|embedded@prompt=games@1@frames=8", Panel("majority", (RIGHT, Member("embedded", 8, "games@1")))),
        ("cascade:embedded|hf:o/m", Panel("cascade", (SMALL, Member("hf:o/m")), 0.2)),
        ("cascade:embedded|hf:o/m@.5", Panel("cascade", (SMALL, Member("hf:o/m")), 0.5)),
        ("cascade:embedded|hf:o/m@prompt=games@1", Panel("cascade", (SMALL, Member("hf:o/m", None, "games@1")), 0.2)),
        ("cascade:embedded|hf:o/m@prompt=games@0.1", Panel("cascade", (SMALL, Member("hf:o/m", None, "games")), 0.1)),
        ("cascade:embedded|openai:http://h/v1#m@20@0.1", Panel("cascade", (SMALL, Member("openai:http://h/v1#m@20")), 0.1)),
        ("cascade:embedded|hf:/at@3/m", Panel("cascade", (SMALL, Member("hf:/at@3/m")), 0.2)),
    ],
)
def test_a_name_says_which_members_answer_and_how(scorer: str, panel: Panel) -> None:
    assert parse_panel(scorer) == panel == parse_panel(str(panel))


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        ("vote:", "2 to 9 members, and this has 0"),
        ("vote:mean:", "2 to 9 members, and this has 0"),
        ("vote:embedded", "2 to 9 members, and this has 1"),
        ("vote:" + "|".join(f"random:0.{tenth}" for tenth in range(10)), "2 to 9 members, and this has 10"),
        ("vote:embedded||oracle", "member 2 of 3 is empty"),
        ("vote:embedded| ", "member 2 of 2 is empty"),
        ("cascade:|oracle", "member 1 of 2 is empty"),
        ("vote:median:embedded|oracle", "'median' is neither a rule .majority, which is the default, or mean. nor a scorer"),
        ("vote:vote:embedded|oracle|reward", "a member cannot be a vote or a cascade itself, and 'vote:embedded' is"),
        ("vote:embedded|cascade:oracle|reward@0.1", "a member cannot be a vote or a cascade itself"),
        ("cascade:embedded|vote:oracle|reward", "a member cannot be a vote or a cascade itself"),
        ("cascade:embedded", "a cascade has 2 members, a small scorer and a large one, and this has 1"),
        ("cascade:embedded|oracle|reward", "and this has 3"),
        ("cascade:embedded|oracle@0", "δ, the number after the last @, is '0'; allowed: above 0 and at most 0.5"),
        ("cascade:embedded|oracle@0.51", "is '0.51'; allowed"),
        ("cascade:embedded|oracle@-0.1", "is '-0.1'; allowed"),
        ("cascade:embedded|oracle@nan", "is 'nan'; allowed"),
        ("cascade:embedded|oracle@", "is ''; allowed"),
        ("cascade:embedded|oracle@little", "after the @ of 'oracle@little' comes no setting"),
        ("cascade:embedded|embedded@0.3", "'embedded' is small and large member in one"),
        ("vote:embedded|oracle|embedded", "'embedded' is a member twice"),
        ("vote:embedded@frames=0|oracle", "is '0'; allowed: a whole number from 1 to 256"),
        ("vote:embedded@frames=x|oracle", "is 'x'; allowed: a whole number from 1 to 256"),
        ("vote:embedded@frames=4@frames=5|oracle", "has the setting frames twice"),
        ("vote:embedded@threshold=0.3|oracle", "has a setting 'threshold'; allowed: @frames=N and @prompt=NAME"),
        ("vote:embedded@prompt=Is it?|oracle", "is 'Is it.'; allowed: a preset's name, or name@version"),
        ("vote:embedded@prompt=nope|oracle", "there is no preset 'nope'; choose from games@1"),
        ("vote:embedded@prompt=games@77|oracle", "there is no preset 'games@77'; choose from games@1"),
        ("vote:oracle@frames=3|embedded", "the control scorer 'oracle' reads no frames"),
        ("vote:random:0.5@prompt=games|embedded", "the control scorer 'random:0.5' reads no prompt"),
        ("vote:@frames=3|embedded", "has settings and no scorer"),
        ("vote:embedded|nobody", "'nobody' is unknown; use embedded"),
        ("vote:embedded|random:2", "positive rate from 0 to 1, such as random:0.25; got '2'"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused_in_words(scorer: str, said: str) -> None:
    with pytest.raises(ScorerSetupError, match=said):
        check_scorer(scorer)


def test_a_configuration_with_a_wrong_panel_is_refused_and_oracle_in_one_has_net_progress() -> None:
    with pytest.raises(ConfigError, match=r"^scorer: got 'vote:oracle'; a vote has 2 to 9 members"):
        make_config(scorer="vote:oracle")
    with pytest.raises(ConfigError, match="net_progress: only the scorer oracle"):
        make_config(scorer="vote:embedded|reward", net_progress=True)
    assert make_config(scorer="vote:embedded|oracle", net_progress=True).net_progress


def test_names_of_models_are_settled_for_every_member(tmp_path, monkeypatch) -> None:
    robots = {"kind": "ogbench"}
    assert fit_to_pictures("embedded", robots) == "embedded:robots"
    assert fit_to_pictures("vote:embedded@frames=4|oracle", robots) == "vote:embedded:robots@frames=4|oracle"
    assert fit_to_pictures("vote:embedded|oracle", {"kind": "minigrid"}) == "vote:embedded|oracle"
    assert settle_scorer("cascade:embedded|embedded@prompt=games", {}) == "cascade:embedded|embedded@prompt=games@1@0.2"
    with pytest.raises(ScorerSetupError, match="'embedded:robots' is small and large member in one"):
        settle_scorer("cascade:embedded|embedded:robots", robots)
    with pytest.raises(ScorerSetupError, match="'embedded@prompt=games@1' is a member twice"):
        settle_scorer("vote:embedded@prompt=games|embedded@prompt=games@1", {})
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert from_anywhere("vote:hf:model@frames=2|hf:owner/name") == f"vote:hf:{tmp_path}/model@frames=2|hf:owner/name"


def test_lists_name_members_by_their_short_names() -> None:
    panel = "vote:mean:hf:/models/plm-1b@frames=4|openai:http://127.0.0.1:8000/v1#m|embedded"
    assert short_scorer(panel) == listed_scorer(panel) == "vote:mean:hf:plm-1b@frames=4|openai:v1#m|embedded"
    assert listed_scorer("hf:/models/plm-1b") == "hf:/models/plm-1b" and short_scorer("vote:broken") == "vote:broken"
    config = {"env": "MiniGrid-DoorKey-5x5-v0", "algo": "dqn", "replay": "vlm", "scorer": panel}
    assert default_name(config) == f"DoorKey-5x5 dqn vlm({short_scorer(panel)}) s0"


def test_a_panel_reads_what_any_of_its_members_reads() -> None:
    assert is_control("vote:oracle|random:0.5") and not reads_prompt("vote:oracle|random:0.5")
    assert not is_control("vote:oracle|embedded") and reads_prompt("vote:oracle|embedded")
    pinned = "vote:embedded@prompt=games|embedded@prompt=progress"
    assert not is_control(pinned) and not reads_prompt(pinned)
    assert not is_control(None) and not reads_prompt(None)


# -- the rules


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 0.7, 1.0])
def test_the_label_of_a_majority_vote_is_the_majoritys_at_any_threshold(threshold: float) -> None:
    for count in range(1, 6):
        for answers in itertools.product((0.0, 0.2, 0.5, 0.6, 1.0), repeat=count):
            yes = sum(answer >= threshold for answer in answers)
            probability = combine(MAJORITY, answers, threshold)
            assert probability is not None and 0 <= probability <= 1
            wanted = sum(answers) / count >= threshold if 2 * yes == count else 2 * yes > count
            assert (probability >= threshold) == wanted or abs(probability - threshold) < 1e-9, (answers, probability)


def test_a_majority_is_the_share_of_yes_a_tie_the_mean_and_who_is_missing_has_no_say() -> None:
    assert combine(MAJORITY, [0.9, 0.6, 0.1], 0.5) == pytest.approx(2 / 3)
    assert combine(MAJORITY, [0.9, 0.2], 0.5) == pytest.approx(0.55)
    assert combine(MAJORITY, [0.6, 0.2], 0.5) == pytest.approx(0.4)
    assert combine(MAJORITY, [0.9, 0.1, None], 0.5) == pytest.approx(0.5)
    assert combine(MAJORITY, [None, None, 0.2], 0.5) == 0.0
    assert combine(MEAN, [0.9, None, 0.2], 0.5) == pytest.approx(0.55)
    assert combine(MEAN, [0.1, 0.1, 0.1], 0.1) == 0.1
    assert combine(CASCADE, [0.4], 0.5) == 0.4 == combine(CASCADE, [0.4, None], 0.5)
    assert combine(CASCADE, [0.4, 0.9], 0.5) == 0.9
    assert [combine(panel, [None, None], 0.5) for panel in (MAJORITY, MEAN, CASCADE)] == [None] * 3


def test_a_cascade_is_in_doubt_near_its_threshold_and_without_an_answer() -> None:
    assert in_doubt([0.4], 0.2, 0.5) and in_doubt([0.69], 0.2, 0.5) and not in_doubt([0.75], 0.2, 0.5)
    assert not in_doubt([0.5], 0.2, 0.8) and in_doubt([0.7], 0.2, 0.8)
    assert in_doubt([0.0, 0.55, 1.0], 0.1, 0.5) and not in_doubt([0.0, 1.0], 0.5, 0.5) and in_doubt([1.0, None], 0.1, 0.5)
