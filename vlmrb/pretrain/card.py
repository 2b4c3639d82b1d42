"""The model card that goes into the folder: plain facts, and a place for what `--evaluate` has measured."""

from __future__ import annotations

from vlmrb.pretrain.environments import training_families
from vlmrb.pretrain.tiles import TILE

_CARD = """# The embedded model of VLM-RB

A small frozen vision-language model that answers yes/no questions about short clips of grid worlds, so that VLM-guided replay
works on first run, without a download and without a GPU.

**It is not a general vision-language model.** It was made by this project, from nothing, on simulated grid worlds alone. It
knows {words} English words and marks, MiniGrid's sprites at their own size, and nothing else: no photographs, no other games, no
text in pictures. For anything but MiniGrid choose a hub model (`--scorer hf:<hub id>`).

| | |
|---|---|
| architecture | Qwen2-VL (`transformers`), {parameters:,} parameters; {frames} frames of a clip; a patch is one cell of \
{tile} × {tile} pixels over all frames |
| seen | {clips:,} clips of {families} families of MiniGrid and BabyAI environments, and of randomly scattered rooms |
| not seen | every DoorKey environment: what it is measured on |
| questions | {questions} matters (picking up, dropping, unlocking, opening, closing, reaching the goal, dying, entering a room, \
staying in place, what stands there first and last, progress; by object and colour), in many phrasings, with their opposites |
| made by | `python -m vlmrb pretrain`, seed {seed} |

What the agent carries is not in MiniGrid's pictures, and what happens between two frames and is undone before the second cannot
be seen: such answers are guesses, and P(yes) should say so.

The questions in plain words are in `questions.json`. `python -m vlmrb pretrain --evaluate FOLDER` measures this folder.
"""


def model_card(*, clips: int, seed: int, parameters: int, frames: int, words: int, questions: int) -> str:
    """The card as Markdown.

    Args:
        clips: that it was trained on.
        seed: of the training.
        parameters: of the model.
        frames: of a clip that it looks at.
        words: in its vocabulary.
        questions: different matters that can be asked after.
    """
    families = len(training_families()) - 1
    return _CARD.format(
        clips=clips,
        seed=seed,
        parameters=parameters,
        words=words,
        questions=questions,
        families=families,
        frames=frames,
        tile=TILE,
    )
