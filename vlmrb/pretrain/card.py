"""The model card: what it says of every embedded model, and what each kind of world adds."""

from __future__ import annotations

from dataclasses import asdict, dataclass

_TEXT = """# The embedded model of VLM-RB{title}

A small frozen vision-language model that answers yes/no questions about short clips of {subject}. With it, VLM-guided replay \
works out of the box: no download, no GPU.

**It is not a general vision-language model.** This project trained it from scratch, on simulated clips only. It knows {words} \
English words and punctuation marks, {sights}, and nothing else. {otherwise}, choose a hub model (`--scorer hf:<hub id>`).

| | |
|---|---|
| architecture | Qwen2-VL (`transformers`), {parameters:,} parameters; {frames} frames per clip; a patch is {patch} × {patch} \
pixels{cell} across all frames |
| trained on | {clips:,} clips{after} of {seen} |
| never seen | {unseen} |
| questions | {questions} kinds ({kinds}), each in many phrasings and with its opposite |
| made by | `{command}{further}`, seed {seed} |

{hidden}A frame shows the world after its step, so what the first step of a clip changes cannot be seen, nor what happens and is \
undone between two of the {frames} frames. Answers about such things are guesses, and P(yes) should say so.

`questions.json` lists the questions in plain words. `{command} --evaluate FOLDER` evaluates this folder; with `--record`, \
it keeps a threshold per question, found on other clips (`offsets.json`), and how right the labels then are (`measured.json`).
"""


@dataclass(frozen=True, slots=True)
class Card:
    """What the card says about one kind of world, in the places of `_TEXT`."""

    subject: str
    sights: str  # what the model can recognise
    otherwise: str  # when to choose another model
    seen: str  # where the training clips come from
    unseen: str
    kinds: str  # of questions
    command: str  # trains such a model
    title: str = ""  # appended to the heading
    cell: str = ""  # what a patch is besides
    hidden: str = ""  # what the pictures never show

    def text(self, *, further: bool = False, **figures: int) -> str:
        """The card as Markdown.

        Args:
            further: the training went on from an earlier model.
            figures: clips, seed, parameters, frames, patch, words and questions.
        """
        after, start = (", after those of an earlier model,", " --start FOLDER") if further else ("", "")
        return _TEXT.format(**asdict(self), **figures, after=after, further=start)
