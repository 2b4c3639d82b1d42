"""The model card that goes into the folder: plain facts, and a place for what `--evaluate` has measured."""

from __future__ import annotations

from vlmrb.pretrain.environments import training_families

_CARD = """# The embedded model of VLM-RB

A small frozen vision-language model that answers yes/no questions about short clips of grid worlds, so that VLM-guided replay
works on first run, without a download and without a GPU.

**It is not a general vision-language model.** It was made by this project, from nothing, on simulated grid worlds alone. It
knows {words} English words and marks, MiniGrid's sprites, and nothing else: no photographs, no other games, no text in pictures.
For anything but MiniGrid choose a hub model (`--scorer hf:<hub id>`).

| | |
|---|---|
| architecture | Idefics3 (`transformers`), {parameters:,} parameters, up to 8 frames of 128 × 128 pixels |
| seen | {clips:,} clips of {families} families of MiniGrid and BabyAI environments, and of randomly scattered rooms |
| not seen | every DoorKey environment: what it is measured on |
| questions | {questions} matters (picking up, dropping, unlocking, opening, closing, reaching the goal, dying, entering a room, \
staying in place, progress; by object and colour), in many phrasings, with their opposites |
| made by | `python -m vlmrb pretrain`, seed {seed} |

What the agent carries is not in MiniGrid's pictures, and what happens between two frames and is undone before the second cannot
be seen: such answers are guesses, and P(yes) should say so.

The questions in plain words are in `questions.json`. `python -m vlmrb pretrain --evaluate FOLDER` measures this folder.
"""


def model_card(*, clips: int, seed: int, parameters: int, words: int, questions: int) -> str:
    """The card as Markdown.

    Args:
        clips: that it was trained on.
        seed: of the training.
        parameters: of the model.
        words: in its vocabulary.
        questions: different matters that can be asked after.
    """
    families = len(training_families()) - 1
    return _CARD.format(clips=clips, seed=seed, parameters=parameters, words=words, questions=questions, families=families)
