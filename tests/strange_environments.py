"""Environments that a seed puts together of what environments out there have: spaces, values, pictures, ends, failures.

Ids such as 'tests.strange_environments:Strange17-v0'. A `Recipe` says what is strange about one, and what has to be said about
it. An episode has ten steps with a reward of 0.5 each; at step n of it, the brightest value of the picture is 20 n.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np

COUNT = 200
LENGTH, REWARD, BRIGHTER = 10, 0.5, 20

Box, Discrete = gym.spaces.Box, gym.spaces.Discrete
NAN, INF = float("nan"), float("inf")


class Unprintable(Exception):
    """Fails when it is printed."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


# -- spaces: good ones, and those to refuse with the words that have to be said


def _vectors(rng: random.Random) -> gym.Space:
    dtype = rng.choice([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.uint16])
    low = 0 if np.dtype(dtype).kind == "u" else -3
    return Box(low, 5, rng.choice([(3,), (2, 2), (1,), (), (4, 1)]), dtype)


def _images(rng: random.Random) -> gym.Space:
    height, width = rng.randint(36, 42), rng.randint(36, 42)
    return Box(0, 255, rng.choice([(height, width, 3), (height, width, 1), (3, height, width), (4, height, width)]), np.uint8)


def _choices(rng: random.Random) -> gym.Space:
    return rng.choice(
        [Discrete(4), Discrete(3, start=-2), gym.spaces.MultiDiscrete([2, 3]), gym.spaces.MultiDiscrete([[2, 2], [3, 4]]),
         gym.spaces.MultiBinary(3), gym.spaces.MultiBinary((2, 2)), gym.spaces.Text(5)]
    )  # fmt: skip


def _nested(rng: random.Random, depth: int = 0) -> gym.Space:
    kinds = [_vectors, _choices, *([lambda rng: _nested(rng, depth + 1)] * (depth < 2))]
    parts = [rng.choice(kinds)(rng) for _ in range(rng.randint(1, 3))]
    return (
        gym.spaces.Tuple(parts) if rng.random() < 0.4 else gym.spaces.Dict({f"part {at}": part for at, part in enumerate(parts)})
    )


BAD_SPACES: dict[str, tuple[Any, str]] = {
    "sequence": (gym.spaces.Dict(many=gym.spaces.Sequence(Discrete(2))), "no fixed number of values"),
    "graph": (gym.spaces.Graph(Discrete(2), None), "no fixed number of values"),
    "tiny image": (Box(0, 255, (8, 9, 3), np.uint8), "images of 8×9 pixels"),
    "stack of images": (Box(0, 255, (4, 40, 40, 3), np.uint8), r"shape \(4, 40, 40, 3\)"),
    "huge": (Discrete(2**40), "1,099,511,627,776 values"),
    "None": (None, "observation_space is None"),
    "text": ("Box(3)", r"observation_space is Box\(3\)"),
}
BAD_ACTIONS: dict[str, tuple[Any, str]] = {
    "many": (gym.spaces.MultiDiscrete([2, 2]), "agents need Discrete or Box"),
    "flags": (gym.spaces.MultiBinary(2), "agents need Discrete or Box"),
    "dict": (gym.spaces.Dict(turn=Discrete(2)), "agents need Discrete or Box"),
    "endless": (Box(-INF, INF, (2,), np.float32), "finite bounds"),
    "beyond float32": (Box(-1e300, 1e300, (2,), np.float64), "finite bounds"),
    "whole": (Box(0, 5, (2,), np.int64), "must hold real numbers"),
    "None": (None, "action_space is None"),
    "huge": (Discrete(2**40), "1,099,511,627,776 choices"),
}


def _good_actions(rng: random.Random) -> gym.Space:
    boxes = [
        Box(-1, 1, (2,), np.float32),
        Box(0, 3, (2, 2), np.float64),
        Box(-2, 2, (), np.float32),
        Box(-1, 1, (1,), np.float16),
        Box(-3e38, 3e38, (1,), np.float32),
        Box(np.zeros(2, np.float32), np.array([2, 9], np.float32), dtype=np.float32),
    ]
    return rng.choice([Discrete(2), Discrete(3), Discrete(1), Discrete(3, start=-1), rng.choice(boxes)])


# -- values


GOOD_REWARDS: dict[str, Any] = {
    "float": REWARD,
    "float32": np.float32(REWARD),
    "float16": np.float16(REWARD),
    "array of one": np.array([REWARD]),
    "array of none": np.array(REWARD),
    "list": [REWARD],
    "nested": [[np.float32(REWARD)]],
    "fraction": Fraction(1, 2),
}
BAD_REWARDS: dict[str, tuple[Any, str]] = {
    "nan": (NAN, "the reward is nan"),
    "nan32": (np.float32(NAN), "the reward is nan"),
    "inf": (INF, "the reward is inf"),
    "inf16": (np.float16(INF), "the reward is inf"),
    "array of -inf": (np.array([-INF]), "the reward is -inf"),
    "None": (None, "the reward is None"),
    "two": (np.array([1.0, 2.0]), r"the reward is \[1\. 2\.\]"),
    "text": ("1.0", "the reward is '1.0'"),
    "large": (1e300, r"the reward is 1e\+300"),
    "endless digits": (10**5_000, "the reward is a value of type int"),
    "complex": (1j, "the reward is 1j"),
    "dict": ({"a": 1.0}, r"the reward is \{'a'"),
    "ragged": ([1, [2, 3]], r"the reward is \[1, \["),
    "none at all": ([], r"the reward is \[\]"),
    "unprintable": (Unprintable(), "of type Unprintable"),
}
GOOD_FLAGS: dict[str, Callable[[bool], Any]] = {
    "bool": bool,
    "numpy": np.bool_,
    "int": int,
    "array of one": lambda flag: np.array([flag]),
    "float": float,
}
BAD_FLAGS: dict[str, tuple[Any, str]] = {
    "None": (None, "terminated is None; it must be True or False"),
    "text": ("False", "terminated is 'False'"),
    "nan": (NAN, "terminated is nan"),
    "two": (np.array([False, True]), r"terminated is array\(\[False"),
    "half": (0.5, "terminated is 0.5"),
    "list": ([], r"terminated is \[\]"),
}
GOOD_INFOS: dict[str, Any] = {
    "empty": {},
    "None": None,
    "success": {"is_success": np.array([True])},
    "strange success": {"is_success": NAN},
    "text": {"success": "yes"},
    "odd keys": {1: object(), None: NAN},
    "unprintable": {"is_success": Unprintable()},
}
BAD_INFOS: dict[str, tuple[Any, str]] = {
    "list": ([], r"the info of the step is \[\]; it must be a dict"),
    "text": ("ok", "the info of the step is 'ok'"),
}


def _picture(level: float, shape: tuple[int, ...] = (16, 12, 3), dtype: Any = np.uint8) -> np.ndarray:
    return np.full(shape, level, dtype)


def _rgba(level: int) -> np.ndarray:
    picture = _picture(level, (16, 12, 4))
    picture[..., 3] = 255
    return picture


SIZES = [(16, 12, 3), (1, 1, 3), (1, 900, 3), (900, 1, 3), (7, 300, 3), (36, 36, 3)]
GOOD_PICTURES: dict[str, Callable[[int], Any]] = {
    "bytes": _picture,
    "fractions": lambda level: _picture(level / 255, dtype=np.float32),
    "half": lambda level: _picture(level, dtype=np.float16),
    "floats": lambda level: _picture(level, dtype=np.float64),
    "grey": lambda level: _picture(level, (16, 12)),
    "one channel": lambda level: _picture(level, (16, 12, 1)),
    "rgba": _rgba,
    "channel first": lambda level: _picture(level, (3, 16, 12)),
    "integers": lambda level: _picture(level, dtype=np.int64),
    "lists": lambda level: _picture(level, (4, 5, 3)).tolist(),
    "sizes": lambda level: _picture(level, SIZES[(level // BRIGHTER - 1) % len(SIZES)]),
    "pixel": lambda level: _picture(level, (1, 1, 3)),
    "turned": lambda level: _picture(level)[::-1, ::-1].transpose(1, 0, 2),
    "reused": _picture,
}
BAD_PICTURES: dict[str, tuple[Any, str]] = {
    "None": (None, r"render\(\) returned no picture"),
    "text": ("a picture", r"render\(\) returned"),
    "list of pictures": ([_picture(1), _picture(2)], r"shape \[2, 16, 12, 3\]"),
    "nan": (_picture(NAN, dtype=np.float32), "values from nan"),
    "complex": (_picture(1, dtype=np.complex64), "a picture of complex64"),
    "empty": (_picture(1, (0, 12, 3)), r"shape \[0, 12, 3\]"),
    "ragged": ([[1], [1, 2]], "is no array"),
    "bright": (_picture(1_000, dtype=np.int32), "values from 1000"),
    "two channels": (_picture(1, (16, 12, 2)), r"shape \[16, 12, 2\]"),
    "dict": ({"rgb": _picture(1)}, r"render\(\) returned"),
}
ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "key": (lambda: KeyError("door"), "KeyError: 'door'"),
    "assertion": (AssertionError, "AssertionError"),
    "exit": (lambda: SystemExit(0), "SystemExit: 0"),
    "exit in words": (lambda: SystemExit("bye"), "SystemExit: bye"),
    "unprintable": (Unprintable, "Unprintable: a value of type Unprintable"),
    "stop": (StopIteration, "StopIteration"),
    "lines": (lambda: ValueError("line\n" * 900), "ValueError: line line"),
    "recursion": (RecursionError, "RecursionError"),
    "odd letters": (lambda: RuntimeError("\0 \ud800 door"), "RuntimeError: .*door"),
    "memory": (MemoryError, "MemoryError"),
    "generator": (GeneratorExit, "GeneratorExit"),
    "not written": (NotImplementedError, "NotImplementedError"),
}


def _bad_observations(space: gym.Space) -> dict[str, tuple[Any, str]]:
    """Values that are not of this space, with what has to be said about them."""
    bad: dict[str, tuple[Any, str]] = {"None": (None, "the observation")}
    if isinstance(space, gym.spaces.Dict):
        bad["a part is missing"] = ({}, "the observation has no 'part 0'")
    elif isinstance(space, gym.spaces.Tuple):
        bad["a part is missing"] = ((), "a Tuple of")
    elif isinstance(space, Discrete):
        first, count = int(space.start), int(space.n)
        for value in (first - 1, first + count, first + 0.5):
            bad[f"choice {value}"] = (value, rf"the observation is {value}, which is not in its space, Discrete")
    elif isinstance(space, gym.spaces.MultiDiscrete):
        bad["choice"] = (space.nvec, "which is not in its space, MultiDiscrete")
        bad["choice below"] = (np.full(space.shape, -1), "which is not in its space, MultiDiscrete")
    elif isinstance(space, gym.spaces.Text):
        bad["long"] = ("abcdefgh", "the observation is abcdefgh, which is not in its space, Text")
        bad["other letters"] = ("é", "the observation is é, which is not in its space, Text")
    elif len(space.shape) == 3 and min(space.shape[:2]) >= 3 and space.dtype == np.uint8:
        bad["floats"] = (np.full(space.shape, 0.5), "the observation is of float64, but its space has integers from 0 to 255")
        bad["bright"] = (np.full(space.shape, 300), "the observation is of int64, but its space has integers from 0 to 255")
        bad["shape"] = (np.zeros((9, 9, 3), np.uint8), r"the observation has shape \(9, 9, 3\)")
    else:
        bad["nan"] = (np.full(space.shape, NAN), r"observation\[0\] is nan")
        bad["inf"] = (np.full(space.shape, 1e300), r"observation\[0\] is inf")
        bad["shape"] = (np.zeros((9, 9)), r"the observation has shape \(9, 9\)")
        bad["text"] = (np.full(space.shape, "0.5"), "it must be numbers")
        bad["complex"] = (np.full(space.shape, 1j), "it must be numbers")
    return bad


# -- recipes


@dataclass
class Recipe:
    """What an environment is made of.

    Attributes:
        observations, actions: spaces, or what stands in their place.
        reward, flag, info, picture: names of how these are given as long as nothing is wrong.
        form: of observations.
        fault: what is wrong: 'observation_space', 'action_space', 'observation', 'reward', 'terminated', 'info', 'picture', or
            where an error is raised: 'init', 'reset', 'step', 'render', 'mission'; '' if nothing is.
        name: of the wrong thing.
        value: the wrong value, or a function that makes the error.
        words: what has to be said about it.
        since: steps of the environment before it goes wrong; 0 for at once.
        draws: whether the run keeps clips.
        labels: whether an oracle labels them.
    """

    observations: Any
    actions: Any
    reward: str
    flag: str
    info: str
    picture: str
    form: str
    fault: str = ""
    name: str = ""
    value: Any = None
    words: str = ""
    since: int = 0
    draws: bool = True
    labels: bool = False

    def __str__(self) -> str:
        wrong = f"{self.name} as {self.fault} from step {self.since}" if self.fault else "nothing is wrong"
        forms = f"{self.reward} reward, {self.flag} ends, {self.info} info, {self.picture} pictures, {self.form} observations"
        return f"{self.observations} and {self.actions}; {forms}; {wrong}"


def recipe_of(number: int) -> Recipe:
    """The recipe with this number, always the same."""
    rng = random.Random(number)
    space = rng.choices([_vectors, _images, _choices, _nested], [4, 2, 3, 5])[0](rng)
    forms = [
        "as sampled",
        *(["list", "float64", "reused", "shared", "read-only"] if isinstance(space, Box) and space.shape else []),
    ]
    if isinstance(space, Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        forms.remove("float64")
    recipe = Recipe(
        space, _good_actions(rng), rng.choice([*GOOD_REWARDS]), rng.choice([*GOOD_FLAGS]), rng.choice([*GOOD_INFOS]),
        rng.choice([*GOOD_PICTURES]), rng.choice(forms), draws=rng.random() < 0.8,
    )  # fmt: skip
    recipe.labels = recipe.draws and rng.random() < 0.3
    if rng.random() < 0.35:
        return recipe
    recipe.since = rng.choice([0, rng.randint(25, 50)])
    found: dict[str, tuple[Any, str]]
    recipe.fault = rng.choice(["observation", "observation", "reward", "terminated", "info", "picture", "step", "reset", "render",
                               "observation_space", "action_space", "init", "mission"])  # fmt: skip
    if recipe.fault in ("init", "reset", "step", "render", "mission"):
        found = ERRORS
        recipe.since *= recipe.fault not in ("init", "mission")
    else:
        found = {"observation": _bad_observations(space), "reward": BAD_REWARDS, "terminated": BAD_FLAGS, "info": BAD_INFOS,
                 "picture": BAD_PICTURES, "observation_space": BAD_SPACES, "action_space": BAD_ACTIONS}[recipe.fault]  # fmt: skip
    recipe.name = rng.choice([*found])
    recipe.value, recipe.words = found[recipe.name]
    recipe.draws |= recipe.fault in ("picture", "render")
    if recipe.fault == "observation_space":
        recipe.since, recipe.observations = 0, recipe.value
    if recipe.fault == "action_space":
        recipe.since, recipe.actions = 0, recipe.value
    return recipe


_SHARED: dict[int, np.ndarray] = {}
"""Observations that all environments of a number write into."""


class Strange(gym.Env):
    """The environment of a recipe.

    Args:
        number: of the recipe.
        render_mode: as for any environment.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, number: int, render_mode: str | None = None) -> None:
        self.render_mode, self._number, self._recipe = render_mode, number, recipe_of(number)
        if self._recipe.actions is not None:
            self.action_space = self._recipe.actions
        self.observation_space = self._recipe.observations
        self._steps = self._place = 0
        self._canvas: dict[str, np.ndarray] = {}
        self._fail_in("init")

    @property
    def mission(self) -> str:
        self._fail_in("mission")
        return "walk\n\0\ud800"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = 0
        self.observation_space.seed(seed)
        self._fail_in("reset")
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        assert self.action_space.contains(action) or self.action_space.dtype == np.float64, action
        self._steps += 1
        self._place += 1
        self._fail_in("step")
        ended = GOOD_FLAGS[self._recipe.flag](self._place >= LENGTH)
        return (
            self._observation(),
            self._given("reward", GOOD_REWARDS[self._recipe.reward]),
            self._given("terminated", ended),
            GOOD_FLAGS[self._recipe.flag](False),
            self._given("info", GOOD_INFOS[self._recipe.info]),
        )

    def render(self) -> Any:
        self._fail_in("render")
        picture = GOOD_PICTURES[self._recipe.picture](BRIGHTER * self._place)
        return self._given("picture", self._on_canvas("picture", picture) if self._recipe.picture == "reused" else picture)

    def _observation(self) -> Any:
        seen, form = self.observation_space.sample(), self._recipe.form
        if form == "list":
            seen = seen.tolist()
        elif form == "float64":
            seen = seen.astype(np.float64)
        elif form == "reused":
            seen = self._on_canvas("observation", seen)
        elif form == "shared":
            _SHARED.setdefault(self._number, seen)[...] = seen
            seen = _SHARED[self._number]
        elif form == "read-only":
            seen.flags.writeable = False
        return self._given("observation", seen)

    def _on_canvas(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array in one that is written into again and again."""
        canvas = self._canvas.setdefault(name, array)
        canvas[...] = array
        return canvas

    def _is_wrong(self, what: str) -> bool:
        return self._recipe.fault == what and self._steps >= self._recipe.since

    def _given(self, what: str, usual: Any) -> Any:
        return self._recipe.value if self._is_wrong(what) else usual

    def _fail_in(self, where: str) -> None:
        if self._is_wrong(where):
            raise self._recipe.value()


for _number in range(COUNT):
    gym.register(f"Strange{_number}-v0", entry_point=Strange, kwargs={"number": _number})


def env_id(number: int) -> str:
    """The id to give to `--env`."""
    return f"{__name__}:Strange{number}-v0"
