"""Labels that people give: who gave them, how far they agree, what to label next, and the export for training."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.recorded import record_run
from vlmrb.__main__ import main
from vlmrb.analysis import people
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.playback import Playback, export_folder, export_zip, labelled_clips
from vlmrb.store import Store
from vlmrb.types import CLIPS_PER_RUN, ClipFilter, ClipScore, HumanLabel

FIRST = CLIPS_PER_RUN


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose run 1 has six clips, labelled yes, no, yes, no, yes, and not at all."""
    with Store(str(tmp_path / "runs.db")) as store:
        record_run(store, 6, length=4, labels=(True, False) * 2 + (True,))
        yield store


def said(clip: int, annotator: str, label: bool) -> HumanLabel:
    return HumanLabel(clip, annotator, True, label, "", 0.0)


# -- who said what


def test_each_persons_newest_label_of_a_clip_counts_for_that_person(store: Store) -> None:
    store.label_clip(FIRST, True, annotator="Ada")
    store.label_clip(FIRST, False, "on second thought", annotator="Ada")
    store.label_clip(FIRST, True, annotator="Bo")
    store.label_clip(FIRST + 1, True)
    found = store.labels_by_people([1])
    assert [(each.clip_id - FIRST, each.annotator, each.label) for each in found] == [
        (0, "Ada", False), (0, "Bo", True), (1, "", False),
    ]  # fmt: skip
    assert found[0].note == "on second thought"
    assert store.labels_by_people([2]) == [] and len(store.labels_by_people()) == 3


def test_a_label_that_is_taken_back_leaves_what_was_said_before(store: Store) -> None:
    store.label_clip(FIRST, True, annotator="Ada")
    store.label_clip(FIRST, False, annotator="Bo")
    assert store.clip(FIRST).human_label is False
    store.unlabel_clip(FIRST, "Bo")
    assert store.clip(FIRST).human_label is True
    store.unlabel_clip(FIRST, "Ada")
    assert store.clip(FIRST).human_label is None and store.labels_by_people() == []
    with pytest.raises(NotFoundError, match=f"clip {FIRST} has no label by 'Ada'"):
        store.unlabel_clip(FIRST, "Ada")
    with pytest.raises(NotFoundError, match="by an unnamed person"):
        store.unlabel_clip(FIRST)


def test_somebody_sees_the_clips_that_they_have_not_labelled(store: Store) -> None:
    store.label_clip(FIRST, True, annotator="Ada")
    store.label_clip(FIRST + 1, True, annotator="Bo")

    def numbers(**wanted: object) -> list[int]:
        return [clip.clip_id - FIRST for clip in store.find_clips(ClipFilter((1,), **wanted), "oldest")]

    assert numbers(not_labelled_by="Ada") == [1, 2, 3, 4, 5]
    assert numbers(not_labelled_by="Ada", human="any") == [1]  # a second opinion
    assert numbers(not_labelled_by="%") == numbers() == [0, 1, 2, 3, 4, 5]


# -- what to label next


def test_clips_come_with_those_nearest_to_their_threshold_first(store: Store) -> None:
    writer = store.writer(1)
    for number, (probability, threshold) in enumerate([(0.9, 0.5), (0.75, 0.8), (0.5, 0.3), (0.5, 0.49), (None, 0.5)]):
        writer.add_score(ClipScore(FIRST + number, probability, None, None, threshold, "m", "m", "", None))
    writer.flush()
    found = store.find_clips(ClipFilter((1,)), "threshold")
    assert [clip.clip_id - FIRST for clip in found] == [3, 1, 2, 0, 5, 4]


def test_clips_come_with_those_first_on_which_prompts_disagree_most(store: Store) -> None:
    prompts = [store.save_prompt("p", text).prompt_id for text in ("Is it?", "Is it not?")]
    ids = [FIRST + at for at in range(3)]

    def trial(prompt_id: int | None, answers: list[float | None]) -> None:
        made = store.create_trial(scorer="m", prompt_id=prompt_id, threshold=0.5, options={}, clip_ids=ids)
        store.add_trial_scores(
            made, [ClipScore(i, p, None, None, 0.5, "m", "m", "", None) for i, p in zip(ids, answers, strict=True)]
        )

    trial(prompts[0], [0.9, 0.9, 0.2])
    trial(prompts[1], [0.8, 0.1, None])
    trial(None, [0.0, 0.9, 0.9])  # a control scorer asks nothing
    writer = store.writer(1)
    writer.add_score(ClipScore(FIRST + 2, 0.5, None, None, 0.5, "m", "m", "", prompts[0]))
    writer.flush()
    found = store.find_clips(ClipFilter((1,)), "prompts")
    assert [clip.clip_id - FIRST for clip in found] == [1, 2, 0, 5, 4, 3]  # 0.8, 0.3, 0.1 apart; the others in no trial


# -- agreement


def test_the_agreement_of_two_people_is_told_with_cohens_kappa() -> None:
    labels = [said(at, "Ada", at < 12) for at in range(24)] + [said(at, "Bo", at < 10) for at in range(30)]
    (pair,) = people.pairs(labels)
    assert (pair.people, pair.labels.n, round(pair.agreed, 3)) == (("Ada", "Bo"), 24, round(22 / 24, 3))
    assert people.in_words(pair) == (
        "Ada and Bo labelled 24 of the same clips and agreed on 22 (92 %): Cohen's κ is 0.83, almost perfect."
    )


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([said(1, "Ada", True)], "Only Ada has labelled clips here; agreement needs a second person."),
        ([said(1, "", True)], "Only somebody unnamed has labelled clips here; agreement needs a second person."),
        ([said(1, "Ada", True), said(2, "Bo", True)], "2 people have labelled clips here, but none of the same ones."),
        (
            [said(1, "Ada", True), said(1, "Bo", True)],
            "Ada and Bo labelled 1 of the same clips and agreed on 1 (100 %): "
            "Cohen's κ is undefined, as both said yes every time.",
        ),
        (
            [said(at, name, (at < 2) == (name == "Ada")) for at in range(4) for name in ("Ada", "Bo")],
            "Ada and Bo labelled 4 of the same clips and agreed on 0 (0 %): Cohen's κ is -1.00, no better than chance; "
            "with fewer than 20 clips that is only a hint.",
        ),
    ],
)
def test_what_there_is_to_say_about_agreement_is_said(labels: list[HumanLabel], words: str) -> None:
    assert people.report(labels) == [words]


def test_agreement_is_told_on_the_command_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for name, verdict in (("Ada", "agree"), ("Bo", "disagree")):
        assert main(["label", str(FIRST), verdict, "--annotator", name, "--store", store.url]) == 0
    capsys.readouterr()
    assert main(["clips", "1", "--people", "--store", store.url]) == 0
    assert "Ada and Bo labelled 1 of the same clips and agreed on 0 (0 %)" in capsys.readouterr().out


# -- export


def test_labelled_clips_are_exported_as_a_folder_that_datasets_loads(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = store.save_prompt("mine", 'Is it "so"\n../../x?')
    writer = store.writer(1)
    writer.add_score(ClipScore(FIRST + 1, 0.25, None, None, 0.5, "m", "m", "", prompt.prompt_id))
    writer.flush()
    store.label_clip(FIRST, True, annotator="Ada")
    store.label_clip(FIRST + 1, False, "<b>door</b>\nopens", annotator="../Bo")
    assert main(["clips", "1", "--export", str(tmp_path / "new" / "folder"), "--store", store.url]) == 0
    assert "wrote 2 labelled clips" in capsys.readouterr().out
    folder = tmp_path / "new" / "folder"
    names = {f"clip-{FIRST}.mp4", f"clip-{FIRST + 1}.mp4"}
    assert {path.name for path in folder.iterdir()} == {"README.md", "metadata.jsonl", *names}
    assert all((folder / name).read_bytes()[4:8] == b"ftyp" for name in names)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["file_name"], row["label"], row["model_label"]) for row in rows] == [
        (f"clip-{FIRST}.mp4", "yes", "yes"), (f"clip-{FIRST + 1}.mp4", "yes", "no"),
    ]  # fmt: skip
    assert rows[1]["labels_by"] == [{"annotator": "../Bo", "label": "yes", "note": "<b>door</b>\nopens"}]
    assert rows[1]["prompt"] == prompt.text and rows[1]["model_probability"] == 0.25
    assert all(row.keys() == rows[0].keys() for row in rows)


def test_labelled_clips_are_exported_as_frames_of_which_a_row_names_all(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.label_clip(FIRST, True, annotator="Ada")
    store.label_clip(FIRST + 1, False)
    folder = tmp_path / "frames"
    assert main(["clips", "1", "--export", str(folder), "--export-as", "frames", "--store", store.url]) == 0
    assert "wrote 2 labelled clips" in capsys.readouterr().out
    names = {f"clip-{FIRST}", f"clip-{FIRST + 1}"}
    assert {path.name for path in folder.iterdir()} == {"README.md", "metadata.jsonl", *names}
    assert 'load_dataset("imagefolder"' in (folder / "README.md").read_text()
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    frames = list(Playback(store).frames(FIRST))
    assert rows[0]["frames_file_names"] == [f"clip-{FIRST}/{at:03}.png" for at in range(len(frames))]
    assert len(frames) == rows[0]["length"] and "file_name" not in rows[0] and rows[0]["label"] == "yes"
    for name, frame in zip(rows[0]["frames_file_names"], frames, strict=True):
        with Image.open(folder / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), frame)


def test_a_kind_of_export_without_an_export_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clips", "1", "--export-as", "frames", "--store", store.url]) == 2
    assert "--export-as frames: nothing is exported; also give --export FOLDER" in capsys.readouterr().err


def test_an_export_overwrites_nothing_and_says_where_there_is_nothing_to_export(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no clip has been labelled by a person; label some"):
        export_folder(store, labelled_clips(store, ClipFilter((1,))), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    store.label_clip(FIRST, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty; give one that does not exist yet"):
        export_folder(store, labelled_clips(store, ClipFilter((1,))), tmp_path / "full")
    with pytest.raises(ConfigError, match="cannot write"):
        export_folder(store, labelled_clips(store, ClipFilter((1,))), tmp_path / "full" / "mine.txt")


def test_the_same_folder_comes_as_an_archive(store: Store) -> None:
    store.label_clip(FIRST + 2, True)
    file = io.BytesIO()
    export_zip(store, labelled_clips(store, ClipFilter((1,))), file)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["README.md", f"clip-{FIRST + 2}.mp4", "metadata.jsonl"]
        assert json.loads(archive.read("metadata.jsonl"))["clip_id"] == FIRST + 2
