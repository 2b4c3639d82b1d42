"""Templates: what they write, and that they evaluate nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.config import TrainConfig, make_config, settings
from vlmrb.errors import ConfigError
from vlmrb.transcripts import StepNumbers, Template

STEP = StepNumbers(step=7, action=(2,), reward=-1.0, total=3.25, obs=(0.123456, -4.0, 14))


def config(transcript: object) -> TrainConfig:
    return make_config(replay="uniform", transcript=transcript)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("step {step}: {obs[0]:.2f}", "step 7: 0.12"),
        ("{obs[0]} {obs[1]} {obs[2]}", "0.1235 -4 14"),
        ("{action} {action[0]} {action:3d}|", "2 2   2|"),
        ("{reward} {reward:+.1f} {return}", "-1 -1.0 3.25"),
        ("{{step}} {{{step}}} }}{{", "{step} {7} }{"),
        ("{step:03d} {obs[0]:8.3f}| {obs[1]:e} {obs[0]:.0%}", "007    0.123| -4.000000e+00 12%"),
        ("{obs[2]:.1f} {obs[0]:d}", "14.0 0"),
        ("a\n{step}é λ", "a\n7é λ"),
    ],
)
def test_a_template_writes_the_numbers_of_a_step(template: str, text: str) -> None:
    assert config(template).transcript == template
    assert Template(template).fill(STEP) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "use 'ansi', 'numbers', or a template such as"),
        ("text", "use 'ansi', 'numbers', or a template such as"),
        ("{{step}}", "use 'ansi', 'numbers', or a template such as"),
        ("{velocity}", r"there is no number 'velocity'; there are \{step\}, \{action\}"),
        ("{__class__}", "there is no number '__class__'"),
        ("{self}", "there is no number 'self'"),
        ("{obs.shape}", "braces hold a name, an index and a format"),
        ("{obs[0].__class__}", "braces hold a name, an index and a format"),
        ("{obs[0][1]}", "braces hold a name, an index and a format"),
        ("{step!r}", "braces hold a name, an index and a format"),
        ("{step + 1}", "braces hold a name, an index and a format"),
        ("{}", "braces hold a name, an index and a format"),
        ("{0}", "braces hold a name, an index and a format"),
        ("{ step }", "braces hold a name, an index and a format"),
        ("{obs[-1]}", "an index is a whole number from 0"),
        ("{obs[1:2]}", "an index is a whole number from 0"),
        ("{obs[٣]}", "an index is a whole number from 0"),
        ("{obs[name]}", "an index is a whole number from 0"),
        ("{obs[99999999999]}", "an index is a whole number from 0"),
        ("{step[0]}", r"step is a single number; write \{step\}"),
        ("{step:999999999}", "is not a format; allowed are a width up to 20, decimals up to 10"),
        ("{step:21d}", "is not a format"),
        ("{reward:.11f}", "is not a format"),
        ("{step:.3d}", "is not a format"),
        ("{reward:x>10}", "is not a format"),
        ("{reward:s}", "is not a format"),
        ("{reward:n}", "is not a format"),
        ("{reward:{step}}", "without its counterpart"),
        ("{step", "without its counterpart"),
        ("step}", r"without its counterpart; write '\}\}'"),
        ("{step}\x1b[2J", "no control characters"),
        ("{step}" + "x" * 1_000, "at most 1000 characters"),
    ],
)
def test_anything_else_is_refused_in_words(template: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)^transcript: .*{words}"):
        config(template)


@given(st.text(alphabet="{}[]:.!step obrwadn0123456789_+%f", max_size=30))
def test_whatever_is_not_refused_can_be_written(text: str) -> None:
    try:
        template = Template(text)
    except ValueError:
        return
    try:
        template.check_fits("Some-v0", len(STEP.obs), len(STEP.action))
    except ConfigError:
        return
    assert len(template.fill(STEP)) < 2_000


@pytest.mark.parametrize("word", ["ansi", " ANSI ", "numbers", "Numbers"])
def test_the_words_are_taken_in_any_case(word: str) -> None:
    assert config(word).transcript == word.strip().lower()


def test_by_default_clips_are_pictures_and_none_says_so() -> None:
    assert config(None).transcript is None and make_config(replay="uniform").transcript is None
    assert settings()["transcript"].optional


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{obs[3]}", r"\{obs\[3\]\} is outside the observation of Some-v0, which has 3 numbers: \{obs\[0\]\} to \{obs\[2\]\}"),
        ("{obs[3]:.2f}", "is outside the observation"),
        ("{obs}", r"\{obs\} is 3 numbers in Some-v0; say which one: \{obs\[0\]\} to \{obs\[2\]\}"),
        ("{action[1]}", r"is outside the action of Some-v0, which has only \{action\}"),
    ],
)
def test_a_number_that_an_environment_does_not_have_is_named_with_those_it_has(template: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Template(template).check_fits("Some-v0", 3, 1)
