"""Commands for clips and prompts: clips, clip, label, prompts."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_run_argument, positive_integer, share
from vlmrb.cli.progress import Progress
from vlmrb.errors import ConfigError
from vlmrb.panels import listed_scorer
from vlmrb.types import ClipFilter, ClipOrder, ClipScore, ClipSummary, Prompt

if TYPE_CHECKING:
    from vlmrb.store import Store


def add(commands: Any) -> None:
    """Register the commands."""
    parser = add_command(
        commands,
        "clips",
        list_clips,
        "list the clips of a run with their labels and events, newest first",
        "python -m vlmrb clips 3 --label yes --limit 10",
    )
    add_run_argument(parser)
    parser.add_argument("--label", choices=("yes", "no"), help="only clips whose latest label is this")
    parser.add_argument("--event", metavar="NAME", help="only clips with this event, for example picked_up or goal_reached")
    parser.add_argument(
        "--min-spread",
        type=share,
        metavar="X",
        help="only clips of a vote or cascade whose members' P(yes) are at least this far apart",
    )
    parser.add_argument(
        "--order",
        choices=get_args(ClipOrder),
        default="newest",
        help="which clips come first; 'disagreement' is that with the events, 'spread' that among the members of a vote or "
        "cascade, 'prompts' that among prompts tried, and 'threshold' the nearest to it (default: newest)",
    )
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", default=50, help="maximum number of clips to list (default: 50)"
    )
    parser.add_argument(
        "--after",
        type=positive_integer,
        metavar="CLIP",
        help="list from the clip after this one, by time; for the next page, give the last clip shown",
    )

    parser.add_argument(
        "--export",
        metavar="FOLDER",
        type=Path,
        help="write the listed kind of clips that people labelled to a new folder instead: MP4 videos and metadata.jsonl, which "
        "datasets.load_dataset('videofolder', data_dir=FOLDER) reads",
    )
    parser.add_argument(
        "--export-as",
        choices=("videos", "frames"),
        help="with --export: videos, or frames, PNG pictures in a folder per clip, which load_dataset('imagefolder', "
        "data_dir=FOLDER) reads (default: videos)",
    )
    parser.add_argument(
        "--people", action="store_true", help="say instead how well people agree who labelled the same clips (Cohen's κ)"
    )

    parser = add_command(
        commands,
        "clip",
        show_clip,
        "show a clip; with --out, also save it as an MP4 video",
        "python -m vlmrb clip 30000012 --out clip.mp4",
    )
    parser.add_argument("clip_id", metavar="CLIP", type=positive_integer, help="clip number, as shown by 'clips'")
    parser.add_argument("--out", metavar="FILE.mp4", type=Path, help="save the video here")
    parser.add_argument("--fps", type=positive_integer, metavar="N", default=8, help="frames per second (default: 8)")

    parser = add_command(
        commands,
        "label",
        label_clip,
        "record whether you agree with a clip's label",
        'python -m vlmrb label 30000012 disagree --note "the door stays shut"',
    )
    parser.add_argument("clip_id", metavar="CLIP", type=positive_integer, help="clip number, as shown by 'clips'")
    parser.add_argument("verdict", choices=("agree", "disagree"), help="your verdict on the latest label")
    parser.add_argument("--note", metavar="TEXT", default="", help="your reason")
    parser.add_argument("--annotator", metavar="NAME", default="", help="who you are, so that people's labels can be compared")

    parser = add_command(
        commands, "prompts", list_prompts, "list the prompt presets and the prompts in the store", "python -m vlmrb prompts"
    )
    parser.add_argument(
        "--save",
        nargs=2,
        metavar=("NAME", "TEXT"),
        help="save TEXT as the next version of prompt NAME; use it as NAME@VERSION",
    )


def list_clips(arguments: argparse.Namespace) -> int:
    """`clips RUN`: one line per clip."""
    from vlmrb.store import Store

    if arguments.export_as is not None and arguments.export is None:
        raise ConfigError(f"--export-as {arguments.export_as}: nothing is exported; also give --export FOLDER")
    by_time = arguments.order in ("newest", "oldest")
    if arguments.after is not None and not by_time:
        raise ConfigError(
            f"--after: got {arguments.after} with --order {arguments.order}; pages follow each other by time only. Leave --after "
            "out and raise --limit, or give --order newest or oldest"
        )
    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        if arguments.people:
            return _tell_agreement(store, run.run_id, arguments.json)
        if arguments.export is not None:
            return _export(store, arguments)
        limit, narrowed = arguments.limit, {"event": arguments.event, "min_spread": arguments.min_spread}
        if by_time:
            label = None if arguments.label is None else arguments.label == "yes"
            clips = store.clips(run.run_id, label=label, limit=limit, after=arguments.after, order=arguments.order, **narrowed)
        else:
            wanted = ClipFilter((run.run_id,), label=arguments.label, **narrowed)
            clips = store.find_clips(wanted, arguments.order, limit=limit)
    voted = any(clip.score is not None and clip.score.votes for clip in clips)
    if arguments.json:
        text.print_json([_with_label(clip) for clip in clips])
    elif not clips:
        print(f"run {run.run_id} has no matching clips")
    else:
        text.print_table(
            ["clip", "steps", "env", "length", "reward", "label", "P(yes)", *(["spread"] if voted else []), "scorer", "events"],
            [
                [
                    clip.clip_id,
                    f"{clip.start_step}–{clip.end_step}",
                    clip.env_index,
                    clip.length,
                    f"{clip.episodic_reward:g}",
                    label_word(clip.score),
                    text.number(clip.score.probability if clip.score else None),
                    *([text.number(clip.score.spread if clip.score else None)] if voted else []),
                    text.shorten(listed_scorer(clip.score.scorer), 30) if clip.score else "–",
                    text.shorten(_events(clip), 80),
                ]
                for clip in clips
            ],
        )
    return 0


def _tell_agreement(store: Store, run_id: int, as_json: bool) -> int:
    """How well people agree on a run's clips."""
    from vlmrb.analysis import people

    labels = store.labels_by_people([run_id])
    if as_json:
        found = [
            {
                "people": each.people,
                "clips": each.labels.n,
                "agreed": each.agreed,
                "kappa": each.labels.kappa,
                "labels": each.labels,
            }
            for each in people.pairs(labels)
        ]
        text.print_json(found)
    else:
        for words in people.report(labels) or [f"nobody has labelled clips of run {run_id}; `vlmrb label CLIP` does"]:
            print(text.plain(words))
    return 0


def _export(store: Store, arguments: argparse.Namespace) -> int:
    """Write labelled clips as a folder for training."""
    from vlmrb.playback import Kind, export_folder, labelled_clips

    wanted = ClipFilter((arguments.run_id,), label=arguments.label, event=arguments.event, min_spread=arguments.min_spread)
    clips = labelled_clips(store, wanted)
    with Progress(len(clips), "clips") as bar:
        kind: Kind = arguments.export_as or "videos"
        export_folder(store, clips, arguments.export, lambda done: bar.update(done, ""), kind=kind)
    if arguments.json:
        text.print_json({"folder": arguments.export, "clips": len(clips)})
    else:
        print(f"wrote {len(clips)} labelled clips to {text.plain(arguments.export)}")
    return 0


def show_clip(arguments: argparse.Namespace) -> int:
    """`clip CLIP`: its facts, scores and, if it is one of text, that; with `--out`, its video."""
    from vlmrb.prompt_library import questions_of
    from vlmrb.store import Store

    if arguments.out and arguments.out.suffix.lower() != ".mp4":
        raise ConfigError(f"--out: got {str(arguments.out)!r}; give a file name that ends in .mp4")
    with Store(arguments.store, create=False) as store:
        clip = store.clip(arguments.clip_id)
        scores = store.scores(clip.clip_id)
        prompts = [None if score.prompt_id is None else store.prompt(score.prompt_id) for score in scores]
        written = _texts_of(store, clip)
        if arguments.out:
            _write_video(store, clip, arguments)
    if arguments.json:
        transcript = {} if written is None else {"transcript": written}
        text.print_json(_with_label(clip) | {"scores": scores, "out": arguments.out} | transcript)
        return 0
    text.print_pairs(
        {
            "clip": f"{clip.clip_id} (number {clip.number} of run {clip.run_id})" + (", superseded" if clip.superseded else ""),
            "steps": f"{clip.start_step}–{clip.end_step} of environment {clip.env_index}, episode {clip.episode}; "
            f"{clip.length} frames, closed by {clip.closed_by}",
            "reward": f"{clip.episodic_reward:g}",
            "events": _events(clip) or "none",
            **({"mission": text.plain(clip.mission)} if clip.mission else {}),
        }
    )
    for score, prompt in zip(scores, prompts, strict=True):
        print(
            f"{label_word(score)} ({text.number(score.probability)}) by {text.plain(score.scorer)}"
            + (f", model {text.plain(score.model)}" if score.model != score.scorer else "")
            + (f", prompt {score.prompt_id}" if score.prompt_id is not None else "")
            + (f": {text.plain(score.error)}" if score.error else "")
        )
        if score.asked and len(score.answers) == 1:
            print(f"  asked: {text.plain(score.asked)}")
        if len(score.answers) > 1:
            for question, answer in zip(questions_of(score, prompt), score.answers, strict=True):
                print(f"  {text.number(answer)}  {text.plain(question)}")
        for vote in score.votes:
            answers = ", ".join(text.number(answer) for answer in vote.answers)
            print(f"  {answers}  by {text.plain(vote.member)}" + (f": {text.plain(vote.error)}" if vote.error else ""))
    _print_texts(written or [])
    if arguments.out:
        print(f"wrote {text.plain(arguments.out)}")
    return 0


def _texts_of(store: Any, clip: ClipSummary) -> list[str] | None:
    """The text of each step of a clip of text; None for one of pictures, or if it is damaged, which is told."""
    if store.run(clip.run_id).render_spec.get("kind") != "text":
        return None
    from vlmrb.errors import StoreCorruptError
    from vlmrb.playback import Playback

    try:
        return Playback(store).texts(clip.clip_id)
    except StoreCorruptError as error:
        text.complain(error)
        return None


def _print_texts(texts: list[str]) -> None:
    """The text of each step of a clip: one line each, or one block each."""
    in_blocks = any("\n" in each for each in texts)
    for number, each in enumerate(texts, 1):
        heading = f"\nstep {number} of {len(texts)}:\n" if in_blocks else "" if number > 1 else "\n"
        print(heading + text.plain(each, lines=True))


def label_clip(arguments: argparse.Namespace) -> int:
    """`label CLIP agree|disagree`."""
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        store.label_clip(arguments.clip_id, arguments.verdict == "agree", arguments.note, annotator=arguments.annotator.strip())
        clip = store.clip(arguments.clip_id)
    if arguments.json:
        text.print_json(_with_label(clip))
    else:
        print(f"clip {clip.clip_id}: labelled {label_word(clip.score)}; you {arguments.verdict}")
    return 0


def list_prompts(arguments: argparse.Namespace) -> int:
    """`prompts`: presets first, then stored prompts; `--save` stores one instead."""
    if arguments.save:
        return _save_prompt(arguments)
    from vlmrb.errors import StoreError
    from vlmrb.scoring.prompts import load_presets
    from vlmrb.store import Store

    presets = [prompt for versions in load_presets().values() for prompt in versions]
    stored: list[Prompt] = []
    try:
        with Store(arguments.store, create=False) as store:
            stored = store.prompts()
    except StoreError as error:  # presets need no store; say why only they are listed
        if not arguments.json:
            text.complain(error)
    if arguments.json:
        text.print_json({"presets": presets, "stored": stored})
        return 0
    for title, prompts in (("presets", presets), ("in the store", stored)):
        for prompt in prompts:
            number = f", number {prompt.prompt_id}" if prompt.prompt_id is not None else ""
            print(f"{text.plain(prompt.name)}@{prompt.version} ({title}{number})")
            print("  " + text.plain(prompt.text, lines=True).replace("\n", "\n  ") + "\n")
    return 0


def _save_prompt(arguments: argparse.Namespace) -> int:
    from vlmrb.prompt_library import save_prompt
    from vlmrb.store import Store

    with Store(arguments.store) as store:
        prompt = save_prompt(store, *arguments.save)
    if arguments.json:
        text.print_json(prompt)
    else:
        print(f"saved as {text.plain(prompt.name)}@{prompt.version}")
    return 0


def label_word(score: ClipScore | None) -> str:
    """'yes', 'no', 'unknown' (no usable answer) or 'unscored'."""
    if score is None:
        return "unscored"
    return {True: "yes", False: "no", None: "unknown"}[score.label]


def _write_video(store: Any, clip: ClipSummary, arguments: argparse.Namespace) -> None:
    """Write the clip as an MP4 file, atomically."""
    from vlmrb.playback import Playback

    target: Path = arguments.out
    if not target.parent.is_dir():
        raise ConfigError(f"--out: the folder {str(target.parent)!r} does not exist; create it first")
    data = Playback(store).mp4(clip.clip_id, arguments.fps)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--out: cannot write {target}: {reason}. Choose a writable folder with enough free space") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _events(clip: ClipSummary) -> str:
    return ", ".join(f"{event} at {index}" for index, event in clip.events)


def _with_label(clip: ClipSummary) -> dict[str, Any]:
    return text.to_json(clip) | {"label": label_word(clip.score), "spread": clip.score.spread if clip.score else None}
