"""The clips that people labelled, as a folder: videos or frames, and what is known about them as JSON Lines.

The layout is that of the Hugging Face library `datasets`: beside the files lies `metadata.jsonl`, with one row per clip.
`load_dataset("videofolder", data_dir=FOLDER)` finds the video of a row by `file_name`, `load_dataset("imagefolder", …)` its
frames by `frames_file_names`; the other fields become columns.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.playback.playback import Playback
from vlmrb.playback.sheets import full_png
from vlmrb.store import Store
from vlmrb.types import ClipFilter, ClipSummary, HumanLabel

METADATA = "metadata.jsonl"
_PAGE = 500  # clips read at a time

Kind = Literal["videos", "frames"]

_README = """Clips that people labelled, exported by VLM-RB.

Each line of metadata.jsonl is a clip: {files}, label is what a person said last, and labels_by who said what.
Load it with the library datasets{version}:

    from datasets import load_dataset
    clips = load_dataset("{loader}", data_dir="THIS FOLDER", split="train")
"""
README: dict[Kind, str] = {
    "videos": _README.format(files="file_name is its video", version="", loader="videofolder"),
    "frames": _README.format(
        files="frames_file_names are its frames, which become a column of lists of images",
        version=" (tried with its version 5.2)",
        loader="imagefolder",
    ),
}


def labelled_clips(store: Store, wanted: ClipFilter) -> list[ClipSummary]:
    """The clips that match and that a person labelled, oldest first."""
    found: list[ClipSummary] = []
    wanted = replace(wanted, human="any")
    while page := store.find_clips(wanted, "oldest", limit=_PAGE, offset=len(found)):
        found += page
    return found


def export_folder(
    store: Store,
    clips: Sequence[ClipSummary],
    folder: Path,
    progress: Callable[[int], None] | None = None,
    *,
    kind: Kind = "videos",
) -> None:
    """Write labelled clips to a folder, which is created. `metadata.jsonl` comes last: without it the folder is not whole.

    Args:
        store: holds them.
        clips: as from `labelled_clips`.
        folder: does not exist yet, or is empty.
        progress: called with the number of clips written.
        kind: of files: an MP4 video per clip, or a folder per clip with its frames as PNG, as the scorer saw them.

    Raises:
        ConfigError: the folder holds something, or cannot be written.
        NotFoundError: there are no clips.
        StoreCorruptError: a clip is damaged.
    """
    if not clips:
        raise NotFoundError("no clip has been labelled by a person; label some on the studio's Clips page, or with `vlmrb label`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise ConfigError(f"export: the folder {str(folder)!r} is not empty; give one that does not exist yet")
        (folder / "README.md").write_text(README[kind], encoding="utf-8")
        lines = []
        for number, (files, row) in enumerate(_rows(store, clips, kind), 1):
            for name, data in files:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
            lines.append(_line(row))
            if progress is not None:
                progress(number)
        partial = folder / f".{METADATA}.{os.getpid()}"
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(folder / METADATA)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"export: cannot write {folder}: {reason}; choose a writable folder with enough free space") from error


def export_zip(store: Store, clips: Sequence[ClipSummary], file: IO[bytes]) -> None:
    """Write the same folder of videos as a ZIP archive. Raises the errors of `export_folder` that are about clips."""
    if not clips:
        raise NotFoundError("no clip here has been labelled by a person yet; label some first")
    with zipfile.ZipFile(file, "w") as archive:  # videos are compressed already
        archive.writestr("README.md", README["videos"])
        lines = []
        for files, row in _rows(store, clips, "videos"):
            for name, data in files:
                archive.writestr(name, data)
            lines.append(_line(row))
        archive.writestr(METADATA, "".join(lines), zipfile.ZIP_DEFLATED)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _rows(store: Store, clips: Sequence[ClipSummary], kind: Kind) -> Iterator[tuple[Iterable[tuple[str, bytes]], dict[str, Any]]]:
    """Of each clip its files, by name, and its row. Names hold nothing that anybody typed."""
    playback = Playback(store)
    runs = {run.run_id: run for run in store.runs(run_ids={clip.run_id for clip in clips})}
    said: dict[int, list[HumanLabel]] = {}
    for each in store.labels_by_people(list(runs)):
        said.setdefault(each.clip_id, []).append(each)
    prompts: dict[int, str] = {}
    for clip in clips:
        if clip.run_id not in runs:
            raise NotFoundError(f"run {clip.run_id} was deleted while its clips were exported; export again")
        score = clip.score
        if score is not None and score.prompt_id is not None and score.prompt_id not in prompts:
            prompts[score.prompt_id] = store.prompt(score.prompt_id).text
        asked = "" if score is None or score.prompt_id is None else score.asked or prompts[score.prompt_id]
        names, files = _files(playback, clip, kind)
        row = {
            **names,
            "label": _word(clip.human_label),
            "prompt": asked,
            "labels_by": [
                {"annotator": each.annotator, "label": _word(each.label), "note": each.note}
                for each in said.get(clip.clip_id, [])
            ],
            "model_label": _word(None if score is None else score.label),
            "model_probability": None if score is None else score.probability,
            "scorer": "" if score is None else score.scorer,
            "progress": clip.progress,
            "events": [f"{event} at {index}" for index, event in clip.events],
            "mission": clip.mission,
            "env": runs[clip.run_id].env,
            "run_id": clip.run_id,
            "clip_id": clip.clip_id,
            "start_step": clip.start_step,
            "length": clip.length,
        }
        yield files, row


def _files(playback: Playback, clip: ClipSummary, kind: Kind) -> tuple[dict[str, Any], Iterable[tuple[str, bytes]]]:
    """The field of a row that names a clip's files, and these files; frames are drawn as they are read."""
    name = f"clip-{clip.clip_id}"
    if kind == "videos":
        return {"file_name": f"{name}.mp4"}, [(f"{name}.mp4", playback.mp4(clip.clip_id))]
    digits = max(3, len(str(clip.length - 1)))
    names = [f"{name}/{at:0{digits}}.png" for at in range(clip.length)]
    return {"frames_file_names": names}, zip(names, map(full_png, playback.frames(clip.clip_id)), strict=True)


def _word(label: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[label]
