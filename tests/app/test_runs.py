"""The run pages: what they show of the store, and what they let a browser do to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from app.colors import method_tokens
from app.known_runs import KnownRuns
from app.pages.run import MAX_POINTS, Seen, facts_of, known_prompts, look_at, read_log, seen_by
from app.pages.runs import known_versions, read_table, side_by_side
from app.run_actions import act_on, loss_of, rename_run, run_actions, split_tags, tag_runs
from app.run_columns import Figures, column_choices
from app.run_rows import RunRow, differences, run_rows, settings_of
from app.studio import Studio
from app.widgets import answering
from tests.foreign_rows import write_change
from vlmrb import Store, make_config
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.types import RunCounters

AddRun = Callable[..., int]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs, created once: copying it is faster than creating new ones."""
    path = tmp_path_factory.mktemp("empty") / "runs.db"
    Store(str(path)).close()
    return path


@pytest.fixture
def studio(empty_store: Path, tmp_path: Path) -> Iterator[Studio]:
    studio = Studio.open(str(shutil.copy(empty_store, tmp_path)))
    yield studio
    studio.close()


@pytest.fixture
def store(studio: Studio) -> Store:
    return studio.store


@pytest.fixture
def add_run(store: Store) -> AddRun:
    """Add a run; a `status` other than 'created' is written as its process would write it."""

    def add(status: str = "created", *, set_name: str = "", **settings: Any) -> int:
        config = make_config(**{"env": "DoorKey-5x5", "scorer": "oracle", "total_steps": 10_000} | settings)
        run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="reaches the goal", set_name=set_name)
        if status in ("running", "paused"):
            live(store, run_id, status=status)
        elif status != "created":
            store.release_run(run_id, status)  # type: ignore[arg-type]
        return run_id

    return add


def live(store: Store, run_id: int, step: int = 0, status: Any = None, **figures: Any) -> None:
    """Report the run as trained by this process."""
    process = psutil.Process()
    if store.run(run_id).status not in ("running", "paused"):
        store.claim_run(run_id, process.pid, process.create_time())
    store.heartbeat(run_id, step, status=status, **figures)


# -- the table


def test_a_row_shows_the_progress_of_the_run_and_the_time_left(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    counters = RunCounters(clips=50, clips_scored=40, unknown=10, positive=6, backlog=10)
    live(store, run_id, 2_500, steps_per_second=250.0, counters=counters)
    writer = store.writer(run_id)
    for step, value in ((1_000, 0.5), (2_000, 0.25)):
        writer.add_metric("eval/success_rate", step, value)
    writer.flush()
    (row,) = read_table(store, {}).rows
    assert (row.state, row.step, row.total_steps, row.eta_s) == ("running", 2_500, 10_000, 30.0)
    assert (row.best_success, row.latest_success) == (0.5, 0.25)
    assert (row.positive_rate, row.backlog, row.clips) == (0.2, 10, 50)
    assert row.method == "vlm (oracle)"


def test_a_row_says_what_a_run_does_other_than_training(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    assert read_table(store, {}).rows[0].doing == ""
    [job_id] = store.enqueue_jobs("train", [run_id])
    store.take_jobs({"train": 1})
    assert store.job(job_id).status == "starting" and read_table(store, {}).rows[0].doing == "loading"
    live(store, run_id, 10_000, counters=RunCounters(doing="evaluating: 3 of 20 episodes done"))
    assert read_table(store, {}).rows[0].doing == "evaluating: 3 of 20 episodes done"
    store.release_run(run_id, "interrupted")
    store.job_ended(job_id, 3)
    assert read_table(store, {}).rows[0].doing == ""


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("created", ("resume", "delete")),
        ("running", ("pause", "stop")),
        ("paused", ("continue", "stop")),
        ("stopped", ("resume", "delete")),
        ("failed", ("resume", "delete")),
        ("interrupted", ("resume", "delete")),
        ("finished", ("delete",)),
    ],
)
def test_a_row_offers_the_actions_possible_in_its_state(
    store: Store, add_run: AddRun, status: str, actions: tuple[str, ...]
) -> None:
    add_run(status)
    (row,) = read_table(store, {}).rows
    assert (row.state, row.actions) == (status, actions)
    assert row.eta_s is None


def test_a_queued_run_can_be_cancelled_and_is_then_shown_as_cancelled(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    store.enqueue_jobs("train", [run_id])
    (row,) = read_table(store, {}).rows
    assert (row.state, row.actions) == ("queued", ("cancel",))
    assert act_on(store, "cancel", [run_id]).done == [run_id]
    (row,) = read_table(store, {}).rows
    assert (row.state, row.actions) == ("cancelled", ("resume", "delete"))


def test_a_run_whose_job_failed_to_start_shows_why(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    store.enqueue_jobs("train", [run_id])
    (job,) = store.take_jobs({"train": 1})
    store.job_not_started(job.job_id, "no process could be started: no memory")
    (row,) = read_table(store, {}).rows
    assert (row.state, row.error) == ("failed", "no process could be started: no memory")


def test_only_changed_rows_are_sent(store: Store, add_run: AddRun) -> None:
    first, second = add_run(), add_run()
    table = read_table(store, {})
    assert table.order == [second, first]
    assert read_table(store, table.versions).rows == []
    store.rename_run(first, "another name")
    again = read_table(store, table.versions)
    assert [row.run_id for row in again.rows] == [first]
    assert again.order == [second, first]
    assert list(again.versions) == [first]


def test_a_table_that_knows_its_runs_reads_those_that_may_have_changed(
    store: Store, add_run: AddRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, queued, running = add_run("finished"), add_run(), add_run("running")
    runs, read = KnownRuns(store), []
    run_list = store.run_list
    monkeypatch.setattr(store, "run_list", lambda run_ids: read.append(sorted(run_ids)) or run_list(run_ids=run_ids))

    def changed() -> set[int]:
        """The rows that are sent: those, and as they are, of a table that knows nothing."""
        nonlocal versions
        table, afresh = (read_table(store, versions, runs=each) for each in (runs, None))
        read.pop()
        assert table == afresh
        versions = {**versions, **table.versions}
        return {row.run_id for row in table.rows}

    versions: dict[int, str] = {}
    assert changed() == {finished, queued, running} and read.pop() == [finished, queued, running]
    assert changed() == set() and read.pop() == [running]  # its process may have ended
    store.rename_run(finished, "another name")
    assert changed() == {finished} and read.pop() == [finished, running]
    store.change_tags(queued, add=["mine"])
    assert changed() == {queued} and read.pop() == [queued, running]
    store.enqueue_jobs("train", [queued])
    assert changed() == {queued} and read.pop() == [queued, running]
    write_curve(store, running, "eval/success_rate", [5], [0.5])
    live(store, running, 5)
    assert changed() == {running} and read.pop() == [running]
    store.release_run(running, "stopped")
    assert changed() == {running} and read.pop() == [running]
    store.delete_run(finished)
    assert changed() == set() and read_table(store, versions, runs=runs).order == [running, queued] and read == []


def test_a_deleted_run_leaves_the_order(store: Store, add_run: AddRun) -> None:
    first, second = add_run("finished"), add_run("finished")
    versions = read_table(store, {}).versions
    act_on(store, "delete", [first])
    assert read_table(store, versions).order == [second]


def test_the_queue_is_listed_in_starting_order(store: Store, add_run: AddRun) -> None:
    runs = [add_run(seed=seed) for seed in range(3)]
    store.enqueue_jobs("train", [runs[2], runs[0], runs[1]])
    queue = read_table(store, {}).queue
    assert [run.run_id for run in queue.waiting] == [runs[2], runs[0], runs[1]]
    assert queue.running == 0
    assert queue.limit >= 1


@pytest.mark.parametrize("known", [[1], "x", {str(number): "" for number in range(3_000)}])
def test_malformed_versions_are_refused(known: Any) -> None:
    with pytest.raises(ConfigError):
        known_versions({"known": known})


def test_invalid_keys_of_versions_are_ignored() -> None:
    assert known_versions({"known": {"1": "a", "x": "b", "-1": "c", "9" * 30: "d"}}) == {1: "a"}


def test_a_page_that_is_opened_later_knows_how_lambda_is_held(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    store.claim_run(run_id, os.getpid(), psutil.Process().create_time())
    assert look_at(store, run_id, Seen({})).held == "schedule"
    for value, held in ((0.9, 0.9), ("none", "none"), ("schedule", "schedule"), (1, 1)):
        request = store.request_change(run_id, "lambda", value)
        before = look_at(store, run_id, Seen({})).held
        store.acknowledge_change(request, applied_step=5)
        assert before != look_at(store, run_id, Seen({})).held == held
    rejected = store.request_change(run_id, "lambda", 0.3)
    store.acknowledge_change(rejected, error="no")
    assert look_at(store, run_id, Seen({})).held == 1


# -- settings side by side


def test_only_settings_that_differ_are_shown_side_by_side(store: Store, add_run: AddRun) -> None:
    runs = [add_run(seed=1), add_run(seed=2, lambda_max=None)]
    shown = side_by_side(store, runs)
    assert {one.name: one.values for one in shown.differences} == {"seed": ("1", "2"), "lambda_max": ("0.5", "none")}
    assert [run.run_id for run in shown.runs] == runs


def test_settings_of_a_single_run_cannot_be_compared(store: Store, add_run: AddRun) -> None:
    with pytest.raises(ConfigError, match="choose 2 to 12"):
        side_by_side(store, [add_run(), 99])


def test_a_setting_that_an_older_run_lacks_counts_as_its_default(store: Store, add_run: AddRun) -> None:
    new = store.run(add_run())
    old = store.run(store.create_run({"env": "DoorKey-5x5", "scorer": "oracle", "total_steps": 10_000, "replay": "vlm"},
                                     render_spec={}, success_rule=""))  # fmt: skip
    assert differences([new, old]) == []


def test_non_default_settings_come_first(store: Store, add_run: AddRun) -> None:
    settings = settings_of(store.run(add_run(gamma=0.5)))
    assert {setting.group for setting in settings} == {"environment", "agent", "replay", "scoring", "evaluation"}
    assert all(setting.description for setting in settings)
    changed = [setting.name for setting in settings if setting.changed]
    assert changed == ["env", "total_steps", "gamma", "scorer"]
    assert [setting.name for setting in settings[:4]] == changed
    assert next((one.value, one.default) for one in settings if one.name == "gamma") == ("0.5", "0.99")


def test_the_replay_ratio_is_listed_with_the_settings_that_decide_it(store: Store, add_run: AddRun) -> None:
    usual, other = (store.run(add_run(**given)) for given in ({}, {"train_freq": 16}))
    ratio = next(one for one in settings_of(other) if one.name == "replay_ratio")
    assert (ratio.value, ratio.default, ratio.changed, ratio.group) == ("8", "32", True, "agent")
    assert {one.name: one.values for one in differences([usual, other])} == {
        "train_freq": ("4", "16"),
        "replay_ratio": ("32", "8"),
    }


# -- colours


def test_colours_of_methods_do_not_depend_on_their_order() -> None:
    labels = ["vlm (oracle, λ=0.25)", "per", "vlm (oracle)", "uniform", "vlm (oracle, λ=0.1)"]
    tokens = method_tokens(labels)
    assert tokens == method_tokens(reversed(labels))
    assert tokens["uniform"] == "method-uniform"
    assert tokens["per"] == "method-per"
    assert tokens["vlm (oracle)"] == "method-vlm"
    assert tokens["vlm (oracle, λ=0.1)"] == "variant-1"


def test_a_run_has_the_same_colour_on_both_pages(store: Store, add_run: AddRun) -> None:
    runs = [add_run(lambda_max=weight) for weight in (0.1, 0.5)]
    table = read_table(store, {})
    for row in table.rows:
        assert facts_of(store, row.run_id).color == table.colors[row.method]
    assert len(runs) == len(set(table.colors.values()))


# -- actions


def test_an_action_that_fails_for_one_run_is_still_performed_on_the_others(store: Store, add_run: AddRun) -> None:
    running, finished = add_run("running"), add_run("finished")
    outcome = act_on(store, "pause", [finished, running, 99])
    assert outcome.done == [running]
    assert [request.name for request in store.live_changes(running)] == ["pause"]
    assert len(outcome.problems) == 2
    assert f"run {finished}: run {finished} is finished" in outcome.problems[0]
    assert "there is no run 99" in outcome.problems[1]


def test_a_live_run_cannot_be_deleted(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running")
    assert act_on(store, "delete", [run_id]).done == []
    assert store.run(run_id).status == "running"


def test_deleting_removes_the_folder_too_and_announces_what_will_be_lost(store: Store, add_run: AddRun) -> None:
    run_id = add_run("finished")
    folder = store.folder_of_run(run_id)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(b"x" * 1_000)
    loss = loss_of(store, [run_id, 99])
    assert (loss.runs, loss.live, loss.clips, loss.folder_bytes) == (1, 0, 0, 1_000)
    assert act_on(store, "delete", [run_id]).done == [run_id]
    assert not folder.exists()
    with pytest.raises(NotFoundError):
        loss_of(store, [run_id])


def test_tags_are_added_and_removed_without_affecting_others(store: Store, add_run: AddRun) -> None:
    first, second = add_run(), add_run()
    store.tag_run(first, ["old", "kept"])
    assert tag_runs(store, [first, second], split_tags(" new, ,new "), ["old"]).problems == []
    assert store.run(first).tags == ("kept", "new")
    assert store.run(second).tags == ("new",)


def test_tags_that_several_people_change_at_once_are_all_kept(store: Store, add_run: AddRun) -> None:
    run_id, people = add_run(), ("ada", "bob", "cleo")

    def tag(name: str) -> None:
        for number in range(30):
            assert tag_runs(store, [run_id], [f"{name} {number}"], [f"{name} {number - 1}"]).problems == []

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(tag, people))
    assert set(store.run(run_id).tags) == {f"{name} 29" for name in people}


def test_a_live_run_that_is_silent_or_has_trouble_with_its_store_or_scorer_says_so(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running")
    assert row_of(store, run_id).warning == ""
    store.heartbeat(run_id, 5, counters=RunCounters(store_notice="the store was busy from 10:00 to 10:05; nothing was lost"))
    assert "was busy from" in row_of(store, run_id).warning
    store.heartbeat(run_id, 5, counters=RunCounters(clips_scored=40, unknown=20, unknown_reason="no logprobs"))
    assert row_of(store, run_id).warning == "the scorer gave no usable answer about 20 of 40 clips (50 %): no logprobs"
    store.heartbeat(run_id, 5, counters=RunCounters(clips_scored=400, unknown=20, unknown_reason="no logprobs"))
    assert row_of(store, run_id).warning == ""
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE runs SET heartbeat_at = heartbeat_at - 100")
    assert "no heartbeat since" in row_of(store, run_id).warning
    store.release_run(run_id, "stopped")
    assert "no heartbeat since" not in row_of(store, run_id).warning


def row_of(store: Store, run_id: int) -> RunRow:
    return run_rows(store.run_list(run_ids=[run_id]), {})[0]


def test_a_name_is_trimmed_and_never_empty(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    assert rename_run(store, run_id, "  <b>mine</b> ") == "<b>mine</b>"
    with pytest.raises(ConfigError, match="name: empty"):
        rename_run(store, run_id, "  ")


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("act", {"action": "format the disk", "ids": [1]}),
        ("act", {"ids": [1]}),
        ("act", {"action": "stop", "ids": ["1; drop table runs"]}),
        ("rename", {"run": True, "name": "x"}),
        ("rename", {"run": 1, "name": "x" * 300}),
        ("tag", {"ids": [1], "add": 7}),
        ("loss", {"ids": [-1]}),
    ],
)
def test_values_of_the_wrong_kind_are_refused_with_a_message(
    studio: Studio, add_run: AddRun, name: str, request_: dict[str, Any]
) -> None:
    add_run("running")
    functions = {function.__name__: function for function in run_actions(studio)}
    answer = answering(functions[name])(request_)
    assert list(answer) == ["error"]
    assert studio.store.live_changes(1) == []


# -- one run


def write_curve(store: Store, run_id: int, name: str, steps: Any, values: Any) -> None:
    writer = store.writer(run_id)
    for step, value in zip(steps, values, strict=True):
        writer.add_metric(name, int(step), float(value))
    writer.flush()


def test_the_first_look_gives_downsampled_curves_and_later_ones_only_new_points(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running")
    values = np.zeros(5_000)
    values[2_345] = 9.0  # a spike that must not be lost
    write_curve(store, run_id, "train/td_loss", range(1, 5_001), values)
    first = look_at(store, run_id, Seen({}))
    steps, shown = first.curves["train/td_loss"]
    assert first.afresh
    assert len(steps) <= MAX_POINTS
    assert (steps[0], steps[-1], shown.max()) == (1, 5_000, 9.0)
    seen = Seen({"train/td_loss": 5_000}, step=first.row.step, pid=first.pid)
    assert look_at(store, run_id, seen).curves == {}
    write_curve(store, run_id, "train/td_loss", [5_001], [1.0])
    write_curve(store, run_id, "eval/success_rate", [5_000], [0.5])
    after = look_at(store, run_id, seen)
    assert not after.afresh
    assert {name: steps.tolist() for name, (steps, _) in after.curves.items()} == {
        "train/td_loss": [5_001],
        "eval/success_rate": [5_000],
    }


def test_curves_are_sent_again_after_the_run_went_back_to_a_checkpoint(store: Store, add_run: AddRun) -> None:
    run_id = add_run()
    write_curve(store, run_id, "train/td_loss", range(1, 11), np.zeros(10))
    live(store, run_id, 5)
    seen = {"train/td_loss": 10}
    assert look_at(store, run_id, Seen(seen, step=10, pid=os.getpid())).afresh  # its step is smaller than before
    assert look_at(store, run_id, Seen(seen, step=5, pid=os.getpid() + 1)).afresh  # another process trains it
    assert not look_at(store, run_id, Seen(seen, step=5, pid=os.getpid())).afresh


def test_live_changes_are_listed_as_text_newest_first(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running")
    prompt = store.save_prompt("custom", "Is the <b>door</b> open?")
    store.acknowledge_change(store.request_change(run_id, "lambda", 0.25), applied_step=100)
    store.acknowledge_change(store.request_change(run_id, "prompt", prompt.prompt_id), applied_step=200)
    store.acknowledge_change(write_change(store, run_id, "lambda", "7"), error="lambda: got 7")
    store.request_change(run_id, "lambda", "schedule")
    write_change(store, run_id, "resume", "null")  # the former name of unpause
    write_change(store, run_id, "prompt", '["no", "id"]')
    look = look_at(store, run_id, Seen({}))
    assert [(change.name, change.value, change.status, change.applied_step, change.error) for change in look.changes] == [
        ("prompt", "prompt ['no', 'id']", "requested", None, ""),
        ("unpause", "", "requested", None, ""),
        ("lambda", "as scheduled", "requested", None, ""),
        ("lambda", "7", "rejected", None, "lambda: got 7"),
        ("prompt", "custom@1: Is the <b>door</b> open?", "applied", 200, ""),
        ("lambda", "0.25", "applied", 100, ""),
    ]
    assert look.prompt == "custom@1: Is the <b>door</b> open?"
    assert look.cannot_change == {"lambda": "", "prompt": "", "question": ""}


def test_the_questions_that_can_rule_are_offered(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running", scorer="embedded", prompt="milestones")
    assert len(look_at(store, run_id, Seen({})).questions) == 3
    prompt = store.save_prompt("custom", "all of\n- [2] Is the door open?\n- Is a key there?")
    store.acknowledge_change(store.request_change(run_id, "prompt", prompt.prompt_id), applied_step=200)
    store.acknowledge_change(store.request_change(run_id, "question", 2), applied_step=300)
    store.request_change(run_id, "question", "schedule")
    look = look_at(store, run_id, Seen({}))
    assert look.questions == ["Is the door open?", "Is a key there?"]
    assert [change.value for change in look.changes[:2]] == ["as configured", "2"]
    assert "picked up key" in look_at(store, add_run("running", scorer="oracle"), Seen({})).questions
    assert look_at(store, add_run("running", scorer="reward"), Seen({})).questions == []


@pytest.mark.parametrize(
    ("status", "settings", "reason"), [("finished", {}, "is finished"), ("running", {"replay": "uniform"}, "no effect")]
)
def test_the_reason_why_nothing_can_be_changed_is_given(
    store: Store, add_run: AddRun, status: str, settings: dict[str, Any], reason: str
) -> None:
    look = look_at(store, add_run(status, **settings), Seen({}))
    assert reason in look.cannot_change["lambda"]
    assert reason in look.cannot_change["prompt"]


def test_a_missing_run_is_reported(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no run 5"):
        look_at(store, 5, Seen({}))
    with pytest.raises(NotFoundError, match="no run 5"):
        facts_of(store, 5)


@pytest.mark.parametrize("since", [[1], {"train/td_loss": "x"}, {"train/td_loss": -3}, {str(number): 1 for number in range(500)}])
def test_malformed_steps_are_refused(since: Any) -> None:
    with pytest.raises(ConfigError):
        seen_by({"since": since})


def test_curves_that_the_run_lacks_are_not_looked_up(store: Store, add_run: AddRun) -> None:
    look = look_at(store, add_run("running"), seen_by({"since": {"' OR 1=1 --": 3}, "step": 0, "pid": 0}))
    assert look.curves == {}


def test_the_log_is_sent_only_when_it_has_changed(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running")
    assert read_log(store, run_id, "").text == ""
    folder = store.folder_of_run(run_id)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("step 1\n")
    log = read_log(store, run_id, "")
    assert log.text == "step 1\n"
    assert read_log(store, run_id, log.version).text is None
    (folder / "log.txt").write_text("step 1\nstep 2\n")
    assert read_log(store, run_id, log.version).text == "step 1\nstep 2\n"


def test_prompts_are_offered_once_each(store: Store) -> None:
    games = next(prompt for prompt in known_prompts(store) if prompt.name == "games")
    store.save_prompt("games", games.text)
    store.save_prompt("mine", "Is the door open?")
    names = [(prompt.name, prompt.version) for prompt in known_prompts(store)]
    assert names.count(("games", 1)) == 1
    assert names[-1] == ("mine", 1)


def test_a_run_of_an_earlier_version_comes_with_how_long_it_had_been_running(store: Store, add_run: AddRun) -> None:
    run_id = add_run("finished")
    write_curve(store, run_id, "speed/steps_per_second", [1_000, 2_000], [100.0, 200.0])
    first = look_at(store, run_id, Seen({})).curves
    assert [array.tolist() for array in first["speed/running_s"]] == [[0, 1_000, 2_000], [0.0, 10.0, 15.0]]
    assert "speed/clock_s" not in first
    seen = Seen({"speed/running_s": 2_000, "speed/steps_per_second": 2_000})
    assert look_at(store, run_id, seen).curves == {}


# -- added columns


def test_a_metric_is_a_column_by_its_last_smallest_and_largest_value(store: Store, add_run: AddRun) -> None:
    first, second = add_run("finished"), add_run("finished")
    write_curve(store, first, "train/td_loss", [1, 2, 3, 4], [0.5, 0.1, 0.3, float("nan")])
    columns = ["last:train/td_loss", "min:train/td_loss", "max:train/td_loss"]
    rows = {row.run_id: row.extra for row in read_table(store, {}, columns, Figures(store)).rows}
    assert rows[first] == dict(zip(columns, (0.3, 0.1, 0.5), strict=True))
    assert rows[second] == dict.fromkeys(columns)


def test_any_setting_is_a_column_also_those_that_an_older_run_lacks(store: Store, add_run: AddRun) -> None:
    run_id = add_run(gamma=0.9, batch_size=64, train_freq=4)
    old = store.create_run({"env": "DoorKey-5x5", "algo": "dqn", "replay": "per"}, render_spec={}, success_rule="")
    columns = ["setting:gamma", "setting:replay_ratio", "setting:lambda_max", "setting:no_such"]
    rows = {row.run_id: row.extra for row in read_table(store, {}, columns).rows}
    assert rows[run_id] == {"setting:gamma": 0.9, "setting:replay_ratio": 16.0, "setting:lambda_max": 0.5}
    assert rows[old]["setting:gamma"] == 0.99


def test_a_row_is_sent_again_when_an_added_column_changes(store: Store, add_run: AddRun) -> None:
    run_id = add_run("running")
    write_curve(store, run_id, "m", [1], [1.0])
    figures, column = Figures(store), ["last:m"]
    versions = read_table(store, {}, column, figures).versions
    assert read_table(store, versions, column, figures).rows == []
    write_curve(store, run_id, "m", [2], [7.0])
    live(store, run_id, 2)
    assert [row.extra for row in read_table(store, versions, column, figures).rows] == [{"last:m": 7.0}]
    assert [row.extra for row in read_table(store, versions, [], figures).rows] == [{}]


def test_curves_are_read_once_and_then_what_is_new_of_those_that_train(store: Store, add_run: AddRun, monkeypatch: Any) -> None:
    finished, running = add_run("finished"), add_run("running")
    for run_id in (finished, running):
        write_curve(store, run_id, "m", [1, 2], [1.0, 3.0])
    figures, whole, since = Figures(store), [], []
    read, read_on = store.curve_figures, store.curves
    monkeypatch.setattr(store, "curve_figures", lambda ids, names: whole.append(list(ids)) or read(ids, names))
    monkeypatch.setattr(store, "curves", lambda ids, names, since: since_of(ids, since) or read_on(ids, names, since=since))

    def since_of(ids: list[int], known: dict[tuple[int, str], int]) -> None:
        since.append((ids, dict(known)))

    def shown() -> list[float | None]:
        (row,) = [row for row in read_table(store, {}, ["last:m", "max:m", "min:m"], figures).rows if row.run_id == running]
        return [row.extra.get(f"{kind}:m") for kind in ("last", "min", "max")]

    live(store, running, 1)
    assert shown() == [3.0, 1.0, 3.0]
    write_curve(store, running, "m", [3, 4], [0.5, float("nan")])
    live(store, running, 4)
    assert shown() == [0.5, 0.5, 3.0]
    assert whole == [[finished, running]] and since == [([running], {(running, "m"): 2})]
    with store._write() as connection:  # a resume goes back, in another process
        connection.exec_driver_sql("DELETE FROM metrics WHERE step > 1")
        connection.exec_driver_sql(f"UPDATE runs SET step = 1, pid = pid + 1 WHERE run_id = {running}")
    figures.of([replace(run, status="running") for run in store.runs() if run.run_id == running], ["m"])
    assert whole[-1] == [running] and figures.of([store.run(running)], ["m"])[running, "m"].high == 1.0


@pytest.mark.parametrize("column", ["m", "avg:m", "last:", ":m", "", "setting"])
def test_a_column_that_is_none_is_refused_with_those_that_there_are(store: Store, add_run: AddRun, column: str) -> None:
    add_run()
    with pytest.raises(ConfigError, match="expected last:METRIC, min:METRIC, max:METRIC or setting:NAME"):
        read_table(store, {}, [column])
    with pytest.raises(ConfigError, match="got 23; at most 22 can be added"):
        read_table(store, {}, [f"setting:{number}" for number in range(23)])


def test_settings_in_which_the_runs_differ_are_offered_first(store: Store, add_run: AddRun) -> None:
    for seed in (0, 1):
        run_id = add_run("finished", seed=seed, gamma=0.9 + seed / 100)
    write_curve(store, run_id, "train/td_loss", [1], [1.0])
    write_curve(store, run_id, "speed/clock_s", [1], [1e9])
    found = column_choices(store, 10)
    assert found.metrics == ["train/td_loss"]
    varied = [setting.name for setting in found.settings if setting.varies]
    assert varied == [setting.name for setting in found.settings][:2] and set(varied) == {"seed", "gamma"}
    assert all(setting.description for setting in found.settings)
