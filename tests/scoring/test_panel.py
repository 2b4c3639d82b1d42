"""Votes and cascades: several scorers that answer together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.doorkey import record_clips
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.errors import ScorerError, ScorerSetupError, ScorerUnavailableError
from vlmrb.panels import parse_panel
from vlmrb.scoring import ScorerOptions, make_scorer, picture_notice, prompt_notice, resolve_prompt
from vlmrb.scoring.panel import PanelScorer
from vlmrb.scoring.worker import make_request as draw
from vlmrb.types import Clip, ClipScore, OtherMissions, Prompt, ScoringRequest, Vote

GAMES = resolve_prompt("games")
TWO = Prompt("custom", 1, "- Does it pick up a key?\n- Does it open a door?", 7)


class Said:
    """A scorer that says what it is told, by clip; an error is raised."""

    frames_per_clip = 2

    def __init__(self, name: str, answers: Callable[[int], tuple[float | None, ...]]) -> None:
        self.name, self.answers, self.asked, self.closed = name, answers, [], False
        self.down = ""

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        self.asked.append([request.clip.clip_id for request in requests])
        if self.down:
            raise ScorerUnavailableError(self.down)
        return [self._score(request, self.answers(request.clip.clip_id)) for request in requests]

    def _score(self, request: ScoringRequest, answers: tuple[float | None, ...]) -> ClipScore:
        known = [answer for answer in answers if answer is not None]
        error = "" if len(known) == len(answers) else "it cannot tell"
        return ClipScore(
            request.clip.clip_id, max(known, default=None), None, None, 0.5, self.name, self.name, f"rev-{self.name}", None,
            request.frame_indices, error=error, answers=answers,
        )  # fmt: skip

    def close(self) -> None:
        self.closed = True


def panel_of(scorer: str, *backends: Said, threshold: float = 0.5) -> PanelScorer:
    """A panel of `hf:` members, whose back ends are these, by name."""
    by_name = {f"hf:{backend.name}": backend for backend in backends}
    panel = parse_panel(scorer)
    assert panel is not None
    return PanelScorer(scorer, panel, threshold, by_name.__getitem__)


def test_the_majority_decides_and_every_vote_is_kept(make_request) -> None:
    a, b, c = Said("a", lambda _: (0.9,)), Said("b", lambda _: (0.6,)), Said("c", lambda _: (0.1,))
    [score] = panel_of("vote:hf:a|hf:b|hf:c", a, b, c).score([make_request(1)], GAMES)
    assert score.probability == pytest.approx(2 / 3) and score.label is True
    assert [(vote.member, vote.answers, vote.error) for vote in score.votes] == [
        ("hf:a", (0.9,), ""),
        ("hf:b", (0.6,), ""),
        ("hf:c", (0.1,), ""),
    ]
    assert all(vote.latency_s >= 0 for vote in score.votes)
    assert score.spread == pytest.approx(0.8)
    assert (score.scorer, score.model, score.revision) == ("vote:hf:a|hf:b|hf:c", "vote:hf:a|hf:b|hf:c", "rev-a|rev-b|rev-c")


def test_the_rule_is_applied_to_each_question_of_a_set(make_request) -> None:
    a, b, c = Said("a", lambda _: (0.9, 0.2)), Said("b", lambda _: (0.1, None)), Said("c", lambda _: (0.2, 0.4))
    [score] = panel_of("vote:mean:hf:a|hf:b|hf:c", a, b, c).score([make_request(1)], TWO)
    assert score.answers == pytest.approx((0.4, 0.3)) and score.probability == pytest.approx(0.4) and score.prompt_id == 7
    assert score.votes[1] == Vote("hf:b", (0.1, None), score.votes[1].latency_s, "it cannot tell") and score.error == ""
    assert score.spread == pytest.approx(0.8), "of the question whose answer stands for the clip"


def test_a_question_that_nobody_answers_is_unknown_with_the_reasons(make_request) -> None:
    a, b = Said("a", lambda _: (0.9, None)), Said("b", lambda _: (0.1, None))
    [score] = panel_of("vote:hf:a|hf:b", a, b).score([make_request(1)], TWO)
    assert score.answers[1] is None and score.probability == pytest.approx(0.5)
    assert score.error == (
        "question 2 has no usable answer: no member has a usable answer: hf:a: it cannot tell; hf:b: it cannot tell"
    )


def test_members_with_different_numbers_of_answers_vote_on_the_clip_as_a_whole(make_request) -> None:
    a = Said("a", lambda _: (0.2, 0.8))
    name = "vote:mean:hf:a|oracle"
    panel = PanelScorer(name, parse_panel(name), 0.5, lambda each: a if each == "hf:a" else make_scorer(each, ScorerOptions()))
    [score] = panel.score([make_request(1)], TWO)
    assert score.answers == (0.4,) and [vote.answers for vote in score.votes] == [(0.8,), (0.0,)]


def test_a_voter_that_is_down_has_no_vote_and_the_others_decide(make_request, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("vlmrb.scoring.panel.time.monotonic", lambda: now[0])
    a, b, c = Said("a", lambda _: (0.9,)), Said("b", lambda _: (0.7,)), Said("c", lambda _: (0.1,))
    slow, c.score = c.score, lambda *asked: (now.__setitem__(0, now[0] + 10), slow(*asked))[1]
    panel = panel_of("vote:hf:a|hf:b|hf:c", a, b, c)
    c.down = "the server does not answer"
    [score] = panel.score([make_request(1)], GAMES)
    assert score.probability == 1.0 and score.error == "" and score.spread == pytest.approx(0.2)
    assert score.votes[2] == Vote("hf:c", (None,), 0.0, "the server does not answer")
    c.down = ""
    [score] = panel.score([make_request(2)], GAMES)  # it rests for nine times as long as its failure took
    assert score.votes[2].error == "the server does not answer" and c.asked == [[1]]
    now[0] += 91
    [score] = panel.score([make_request(3)], GAMES)
    assert score.votes[2].answers == (0.1,) and c.asked == [[1], [3]]


def test_a_member_whose_server_is_down_at_the_start_votes_once_it_is_up(make_request) -> None:
    a, b = Said("a", lambda _: (0.9,)), Said("b", lambda _: (0.1,))
    up = []

    def make(scorer: str) -> Said:
        if scorer == "hf:b" and not up:
            raise ScorerUnavailableError("no server there")
        return {"hf:a": a, "hf:b": b}[scorer]

    name = "vote:mean:hf:a|hf:b"
    panel = PanelScorer(name, parse_panel(name), 0.5, make, 5)
    assert panel.frames_per_clip == 5
    [score] = panel.score([make_request(1)], GAMES)
    assert score.probability == pytest.approx(0.9) and score.votes[1].error == "no server there"
    up.append(True)
    panel._voters[1]._rests_until = 0.0
    [score] = panel.score([make_request(2)], GAMES)
    assert score.probability == pytest.approx(0.5)
    panel.close()
    assert a.closed and b.closed


def test_members_that_are_all_down_at_the_start_are_an_error_that_names_each() -> None:
    def make(scorer: str) -> Said:
        raise ScorerUnavailableError(f"{scorer} is down")

    with pytest.raises(ScorerUnavailableError, match="no member answers: hf:a is down; hf:b is down"):
        PanelScorer("vote:hf:a|hf:b", parse_panel("vote:hf:a|hf:b"), 0.5, make)


def test_a_vote_fails_when_no_voter_answers_and_asks_resting_ones_before(make_request, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("vlmrb.scoring.panel.time.monotonic", lambda: now.__setitem__(0, now[0] + 10) or now[0])
    a, b = Said("a", lambda _: (0.9,)), Said("b", lambda _: (0.7,))
    panel = panel_of("vote:hf:a|hf:b", a, b)
    a.down = "a is down"
    panel.score([make_request(1)], GAMES)
    a.down, b.down = "", "b is down"
    [score] = panel.score([make_request(2)], GAMES)
    assert score.probability == 1.0 and a.asked == [[1], [2]]
    a.down = "a is down again"
    with pytest.raises(ScorerError, match=r"scorer vote:hf:a\|hf:b: no member answers: a is down again; b is down"):
        panel.score([make_request(3)], GAMES)


def test_a_cascade_asks_the_large_member_only_about_clips_in_doubt(make_request) -> None:
    small = Said("small", lambda clip: ((0.1, 0.5, 0.69, 0.75, None)[clip],))
    large = Said("large", lambda clip: ((1.0, 0.9, None, 1.0, 0.3)[clip],))
    requests = [make_request(number) for number in range(5)]
    scores = panel_of("cascade:hf:small|hf:large@0.2", small, large).score(requests, GAMES)
    assert small.asked == [[0, 1, 2, 3, 4]] and large.asked == [[1, 2, 4]]
    assert [score.probability for score in scores] == [0.1, 0.9, 0.69, 0.75, 0.3]
    assert [len(score.votes) for score in scores] == [1, 2, 2, 1, 2]
    assert [score.spread is None for score in scores] == [True, False, True, True, True]
    assert scores[2].votes[1].error == "it cannot tell" and scores[2].error == ""


def test_a_cascade_doubts_around_its_threshold_and_about_any_question(make_request) -> None:
    small, large = Said("small", lambda clip: ((0.5, 0.1), (0.1, 0.75))[clip]), Said("large", lambda _: (0.2, 1.0))
    requests = [make_request(number) for number in range(2)]
    scores = panel_of("cascade:hf:small|hf:large@0.1", small, large, threshold=0.8).score(requests, TWO)
    assert large.asked == [[1]] and [score.answers for score in scores] == [(0.5, 0.1), (0.2, 1.0)]


def test_a_cascade_whose_large_member_is_down_keeps_the_small_ones_answer(make_request) -> None:
    small, large = Said("small", lambda _: (0.45,)), Said("large", lambda _: (0.9,))
    panel = panel_of("cascade:hf:small|hf:large", small, large)
    large.down = "out of order"
    [score] = panel.score([make_request(1)], GAMES)
    assert (score.probability, score.error, score.votes[1].error) == (0.45, "", "out of order")
    small.down, large.down = "also out of order", ""
    [score] = panel.score([make_request(2)], GAMES)
    assert score.probability == 0.9 and score.votes[0].error == "also out of order"
    large.down = "out of order"
    with pytest.raises(ScorerError, match="no member answers: also out of order; out of order"):
        panel.score([make_request(3)], GAMES)


def test_a_member_that_cannot_be_created_is_an_error_that_names_it_and_closes_the_others() -> None:
    made = Said("a", lambda _: (0.9,))

    def make(name: str) -> Said:
        if name == "hf:b":
            raise ScorerSetupError("there is no folder b")
        return made

    with pytest.raises(
        ScorerSetupError, match=r"the member hf:b@frames=3 of vote:hf:a\|hf:b@frames=3 cannot be created: there is no"
    ):
        PanelScorer("vote:hf:a|hf:b@frames=3", parse_panel("vote:hf:a|hf:b@frames=3"), 0.5, make)
    assert made.closed
    with pytest.raises(ScorerSetupError, match=r"the member hf:/no/such/folder of vote:oracle\|hf:/no/such/folder cannot be"):
        make_scorer("vote:oracle|hf:/no/such/folder", ScorerOptions())


def test_control_scorers_vote_as_they_would_alone(make_request) -> None:
    requests = [make_request(number, frames=0) for number in range(40)]
    names = ("random:0.3", "random:0.5", "random:0.7")
    alone = [make_scorer(name, ScorerOptions(seed=3)).score(requests, GAMES) for name in names]
    together = make_scorer(f"vote:{'|'.join(names)}", ScorerOptions(seed=3)).score(requests, GAMES)
    for score, *each in zip(together, *alone, strict=True):
        assert [vote.answers for vote in score.votes] == [one.answers for one in each]
        assert score.label == (sum(one.label for one in each) >= 2) and score.prompt_id is None and score.frame_indices == ()


# -- the embedded model: one load, several numbers of frames and prompts


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return record_clips("DoorKey-5x5", 3, lambda _: 0.5, np.random.default_rng(5))


def test_members_answer_bit_for_bit_as_they_would_alone(clips: list[Clip]) -> None:
    renderer, options = MiniGridRenderer(), ScorerOptions(device="cpu")
    panel = make_scorer("vote:mean:embedded@frames=4|embedded@frames=5@prompt=progress|oracle", options)
    assert panel.samplings == (0, 4, 5) and len(panel._backends) == 2
    scores = panel.score([draw(clip, renderer, *panel.samplings) for clip in clips], GAMES)
    four, five = (make_scorer("embedded", ScorerOptions(frames=frames, device="cpu")) for frames in (4, 5))
    expected = [
        four.score([draw(clip, renderer, 4) for clip in clips], GAMES),
        five.score([draw(clip, renderer, 5) for clip in clips], resolve_prompt("progress")),
    ]
    for at, score in enumerate(scores):
        assert [vote.answers for vote in score.votes[:2]] == [(each[at].probability,) for each in expected]
        assert score.frame_indices == tuple(sorted({*expected[0][at].frame_indices, *expected[1][at].frame_indices}))
        assert score.revision == expected[0][at].revision


def test_notices_are_about_the_members_that_look_and_what_they_are_asked() -> None:
    strange = Prompt("custom", 1, "Does the zeppelin land?")
    assert prompt_notice("vote:embedded|oracle", strange) == prompt_notice("embedded", strange) != ""
    assert prompt_notice("vote:embedded@prompt=games|oracle", strange) == ""
    assert prompt_notice("vote:embedded@frames=4|embedded", strange) == prompt_notice("embedded", strange)
    robots = {"kind": "ogbench"}
    assert picture_notice("vote:oracle|embedded", robots) == picture_notice("embedded", robots) != ""
    assert picture_notice("vote:oracle|reward", robots) == ""


QUESTION = Prompt("hindsight", 3, "Done at the end: {mission}?", 9)


def with_others(prompt: Prompt, *missions: str) -> Prompt:
    return replace(prompt, others=OtherMissions(QUESTION, missions))


def test_members_answer_about_other_missions_which_have_no_say_in_the_label(make_request) -> None:
    a, b = Said("a", lambda _: (0.1, 0.2, 0.9, 0.8)), Said("b", lambda _: (0.3, 0.2, 0.7, None))
    [score] = panel_of("vote:mean:hf:a|hf:b", a, b).score([make_request(1)], with_others(TWO, "eat", "sleep"))
    assert score.answers == pytest.approx((0.2, 0.2, 0.8, 0.8)) and score.probability == pytest.approx(0.2)


@pytest.mark.parametrize("scorer", ["vote:oracle|random:1", "cascade:oracle|random:1@0.5", "vote:random:1|random:0.9"])
def test_controls_that_differ_in_their_answers_agree_about_other_missions(scorer: str, make_request) -> None:
    request = replace(make_request(1, frames=0), ahead="red ball")
    asked = with_others(TWO, "go to the red ball", "go to the blue ball")
    [score] = make_scorer(scorer, ScorerOptions()).score([request], asked)
    assert score.answers[-2] == 1.0 and {len(vote.answers) for vote in score.votes} == {len(score.answers)}
    [alone] = make_scorer(scorer, ScorerOptions()).score([request], TWO)
    assert (score.answers[:-2], score.probability) == (alone.answers, alone.probability)
