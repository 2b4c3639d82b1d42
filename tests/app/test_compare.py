"""The compare page and its exports: numbers from real curves, verdicts, and files that are safe to open."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.clips_at import MAX_ROWS, ClipsAt, clips_at
from app.clocks import run_clocks
from app.colors import light_color, method_tokens, style_sheet
from app.comparing import CHART_POINTS, MAX_POINTS, compare_view, default_runs, metric_curves, steps_of, sweep_views, version_of
from app.export import csv_of, html_of, interval_words, reaching_words
from app.figures import comparison_figure
from app.live_changes import ChangeMark
from app.media import media_routes
from app.pages.compare import read_choices
from app.reasons import BranchMark, explain
from app.studio import Studio
from tests.store.samples import clip, draws
from vlmrb.analysis import stats
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.replay.registry import replay_methods
from vlmrb.store import Store
from vlmrb.types import CLOCK_S, DRAWN_AGES, RUNNING_S, SPEED, SUCCESS, Episode, Lineage

STEPS = (10_000, 20_000, 30_000)


def add_run(store: Store, replay: str, seed: int, values: tuple[float, ...], set_name: str = "", **settings: object) -> int:
    config = {"env": "DoorKey-8x8", "algo": "dqn", "replay": replay, "seed": seed, "total_steps": 30_000, "scorer": "oracle"}
    run_id = store.create_run(config | settings, render_spec={}, success_rule="", set_name=set_name)
    writer = store.writer(run_id)
    for step, value in zip(STEPS, values, strict=False):
        writer.add_metric(SUCCESS, step, value)
    writer.flush()
    store.heartbeat(run_id, 30_000)
    store.release_run(run_id, "finished")
    return run_id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as store:
        yield store


@pytest.fixture
def five_seeds(store: Store) -> Store:
    """VLM-RB is better than uniform with all five seeds, and as good as PER."""
    for seed in range(5):
        add_run(store, "vlm", seed, (0.5, 0.8 + seed / 50, 1.0))
        add_run(store, "per", seed, (0.5, 0.8 + (4 - seed) / 50, 1.0))
        add_run(store, "uniform", seed, (0.0, 0.1 + seed / 50, 0.4))
    return store


def test_the_page_shows_what_the_seeds_measured(five_seeds: Store) -> None:
    view = compare_view(five_seeds, default_runs(five_seeds))
    (panel,) = view.panels
    uniform = next(curve for curve in panel.curves if curve.label == "uniform")
    assert (uniform.n, uniform.token, uniform.steps.tolist(), uniform.counts.tolist()) == (
        5,
        "method-uniform",
        list(STEPS),
        [5, 5, 5],
    )
    assert uniform.point.tolist() == pytest.approx([0.0, 0.14, 0.4])
    assert uniform.low[1] < 0.14 < uniform.high[1]
    assert [len(curve.raw) for curve in panel.curves] == [5, 5, 5]
    row = next(row for row in panel.rows if row.label == "vlm (oracle)")
    assert row.gains["uniform"] == pytest.approx(
        row.area.point / next(r.area.point for r in panel.rows if r.label == "uniform") - 1
    )


def test_further_metrics_are_charted_without_being_judged(five_seeds: Store) -> None:
    runs = default_runs(five_seeds)
    writer = five_seeds.writer(runs[0])
    for step in range(1_000):
        writer.add_metric("train/td_loss", step, 1.0)
    writer.flush()
    success, loss, nothing = metric_curves(five_seeds, runs, [SUCCESS, "train/td_loss", "no/such"])
    assert (success.as_share, loss.as_share, nothing.tasks) == (True, False, ())
    (task,) = success.tasks
    assert task.title == compare_view(five_seeds, runs).panels[0].title
    assert [curve.n for curve in task.curves] == [5, 5, 5]
    (curve,) = loss.tasks[0].curves
    assert curve.n == 1 and len(curve.steps) <= CHART_POINTS
    with pytest.raises(ConfigError, match="13 metrics; at most 300 and 12"):
        metric_curves(five_seeds, runs, [str(number) for number in range(13)])


def test_a_setting_is_drawn_against_the_score_with_the_colours_of_its_methods(store: Store) -> None:
    for seed in range(2):
        for weight in (0.25, 0.5):
            add_run(store, "vlm", seed, (0.1, 0.2, weight), lambda_max=weight)
        add_run(store, "uniform", seed, (0.0, 0.1, 0.4))
    runs = default_runs(store)
    (panel,) = compare_view(store, runs).panels
    assert panel.settings == ("lambda_max",)
    (view,) = sweep_views(store, runs, SUCCESS, "mean", "lambda_max", "value")
    assert (view.title, view.description[:1]) == (panel.title, "λ")
    assert [(point.value, point.score.n, point.score.point) for point in view.sweep.lines[0].points] == [
        (0.25, 2, 0.25),
        (0.5, 2, 0.5),
    ]
    assert view.tokens == {"vlm (oracle)": "method-vlm", "uniform": "method-uniform"}
    with pytest.raises(ConfigError, match="these are: lambda_max"):
        sweep_views(store, runs, SUCCESS, "iqm", "<b>", "area")


def test_the_clocks_of_runs_are_read_or_added_up_from_their_speeds(store: Store) -> None:
    new, old, unknown = (add_run(store, "per", seed, (0.1,)) for seed in range(3))
    for run_id, name, values in ((new, RUNNING_S, (5.0, 9.0)), (new, CLOCK_S, (1e9, 2e9)), (old, SPEED, (100.0, 100.0))):
        writer = store.writer(run_id)
        for step, value in zip((1_000, 2_000), values, strict=True):
            writer.add_metric(name, step, value)
        writer.flush()
    found = {clock.run_id: [*clock.running, *clock.wall] for clock in run_clocks(store, [new, old, unknown, 99])}
    assert [array.tolist() for array in found[new]] == [[1_000, 2_000], [5.0, 9.0], [1_000, 2_000], [1e9, 2e9]]
    assert [array.tolist() for array in found[old]] == [[0, 1_000, 2_000], [0.0, 10.0, 20.0], [], []]
    assert [array.tolist() for array in found[unknown]] == [[], [], [], []]


def test_the_verdict_separates_being_ahead_from_no_clear_difference(five_seeds: Store) -> None:
    (panel,) = compare_view(five_seeds, default_runs(five_seeds)).panels
    words = {("uniform" if "uniform" in each else "per"): each for each in panel.verdict.sentences}
    assert words["uniform"].startswith("vlm (oracle) is ahead of uniform")
    assert words["per"].startswith("No clear difference")
    assert panel.verdict.decided


def test_four_seeds_are_not_enough_for_a_verdict(five_seeds: Store) -> None:
    without_one = [run.run_id for run in five_seeds.runs() if (run.replay, run.seed) != ("vlm", 4)]
    (panel,) = compare_view(five_seeds, without_one).panels
    assert not panel.verdict.decided
    assert all("Not enough seeds" in words and "4 and 5" in words for words in panel.verdict.sentences)


def test_a_repeated_seed_counts_once(store: Store) -> None:
    for _ in range(5):
        add_run(store, "vlm", 0, (0.5, 0.8, 1.0))
        add_run(store, "uniform", 0, (0.0, 0.1, 0.4))
    (panel,) = compare_view(store, default_runs(store)).panels
    assert "1 and 1" in panel.verdict.sentences[0]


def test_the_newest_set_is_compared_by_default(store: Store) -> None:
    assert default_runs(store) == []
    add_run(store, "per", 0, (0.1,))
    chosen = [add_run(store, replay, 0, (0.1,), "second") for replay in ("vlm", "uniform")]
    add_run(store, "per", 1, (0.1,))
    assert default_runs(store) == chosen
    assert read_choices(store).default == chosen


def test_a_set_without_evaluations_is_not_compared_by_default_beside_one_that_has_some(store: Store) -> None:
    begun = [add_run(store, replay, 0, (), "just begun") for replay in ("vlm", "uniform")]
    assert default_runs(store) == begun  # there is nothing else
    alone = add_run(store, "per", 0, (0.1,))
    add_run(store, "per", 1, (), "begun later")
    assert default_runs(store) == [*begun, alone, begun[-1] + 2]  # all of its environment
    older = [add_run(store, replay, 0, (0.1,), "older") for replay in ("vlm", "uniform")]
    add_run(store, "vlm", 0, (), "newest")
    assert read_choices(store).default == older


def test_a_run_without_values_is_noted_and_bad_requests_are_refused(store: Store) -> None:
    empty = add_run(store, "per", 0, ())
    view = compare_view(store, [empty])
    assert view.panels == ()
    assert f"run {empty} has no evaluation yet" in view.notes[0]
    assert "run 99" in compare_view(store, [empty, 99]).notes[0]
    with pytest.raises(NotFoundError):
        compare_view(store, [99])
    with pytest.raises(ConfigError, match="at most 300"):
        compare_view(store, list(range(1, 302)))


def test_a_line_ends_where_its_shortest_run_ends(store: Store) -> None:
    add_run(store, "per", 0, (0.0, 0.0, 0.0))
    add_run(store, "per", 1, (1.0, 1.0))
    (panel,) = compare_view(store, default_runs(store)).panels
    (curve,) = panel.curves
    assert (curve.steps.tolist(), curve.point.tolist()) == ([10_000, 20_000], [0.5, 0.5])
    assert [len(run.steps) for run in curve.raw] == [3, 2]


@pytest.mark.parametrize(("later", "shown"), [(0, [3_000, 8_000, 13_000]), (1_000, [5_000, 10_000])])
def test_branches_of_different_runs_lie_above_each_other(store: Store, later: int, shown: list[int]) -> None:
    ids = []
    for parent_step, delay in ((7_000, 0), (43_000, later)):
        parent = add_run(store, "uniform", 0, (0.0,))
        lineage = Lineage(parent, parent_step, "fifth-success", 0)
        ids.append(store.create_run({"env": "DoorKey-8x8", "algo": "dqn", "replay": "per", "seed": 0, "total_steps": 90_000},
                                    render_spec={}, success_rule="", lineage=lineage))  # fmt: skip
        writer = store.writer(ids[-1])
        for elapsed, value in ((3_000, 0.2), (8_000, 0.4), (13_000, 1.0)):
            writer.add_metric(SUCCESS, parent_step + elapsed + delay, value)
        writer.flush()
    (panel,) = compare_view(store, ids).panels
    (curve,) = panel.curves
    assert (curve.steps.tolist(), curve.point.tolist()) == (shown, pytest.approx([0.2, 0.4, 1.0][: len(shown)]))
    assert (curve.counts.tolist(), [run.start for run in curve.raw]) == ([2] * len(shown), [7_000, 43_000])
    assert comparison_figure(panel, SUCCESS, as_share=True)["layout"]["xaxis"]["title"]["text"] == "steps since the branch"


def test_new_results_change_the_version(five_seeds: Store) -> None:
    runs = five_seeds.runs()
    before = version_of(runs)
    five_seeds.heartbeat(runs[0].run_id, 30_001)
    assert version_of(five_seeds.runs()) != before
    assert version_of(reversed(runs)) == before


def test_columns_are_steps_that_runs_have_reached(five_seeds: Store) -> None:
    measured = five_seeds.measured_runs([1, 2, 3], SUCCESS)
    assert steps_of(measured) == [30_000]
    assert steps_of([]) == []


def test_short_runs_of_one_task_do_not_shorten_the_table_of_another(five_seeds: Store) -> None:
    short = add_run(five_seeds, "uniform", 0, (0.25,), env="DoorKey-5x5")
    view = compare_view(five_seeds, [*range(1, 16), short])
    steps = {panel.env: (panel.steps, [len(row.at) for row in panel.rows]) for panel in view.panels}
    assert steps == {"DoorKey-5x5": ((10_000,), [1]), "DoorKey-8x8": ((30_000,), [1, 1, 1])}
    report = html_of(view)
    assert ("at 10,000" in report, "at 30,000" in report) == (True, True)


def test_exported_figures_have_the_colours_of_the_style_sheet() -> None:
    light = style_sheet().partition("body.dark")[0]
    found = dict(re.findall(r"--([\w-]+): (#\w+);", light))
    assert {f"method-{key}" for key in replay_methods()} < set(found)
    assert found == {token: light_color(token) for token in found}
    assert light_color("no-such-token") == light_color("method-other")


def test_methods_keep_their_colours() -> None:
    tokens = method_tokens(["vlm (oracle, λ=0.1)", "per", "vlm (oracle)", "uniform"])
    assert tokens == {
        "per": "method-per",
        "uniform": "method-uniform",
        "vlm (oracle)": "method-vlm",
        "vlm (oracle, λ=0.1)": "variant-1",
    }


@pytest.mark.parametrize("seed_delays", [(0, 0, 0, 0), (0, 3, 11, 40)])
def test_every_point_of_a_long_curve_is_of_all_runs(store: Store, seed_delays: tuple[int, ...]) -> None:
    rng, ends = np.random.default_rng(0), 4 * MAX_POINTS
    for seed, delay in enumerate(seed_delays):
        run_id = add_run(store, "uniform", seed, (0.5,))
        writer = store.writer(run_id)
        for step in range(1, ends + 1):
            value = 1_000.0 if step == 777 and not any(seed_delays) else rng.normal(seed, 0.1)
            writer.add_metric("train/td_loss", 10 * step + delay, float(value))
        writer.flush()
    runs = [run.run_id for run in store.runs()]
    (panel,), (charted,) = compare_view(store, runs, "train/td_loss").panels, metric_curves(store, runs, ["train/td_loss"])
    for curve, most in ((panel.curves[0], MAX_POINTS), (charted.tasks[0].curves[0], CHART_POINTS)):
        assert most / 2 < len(curve.steps) <= most
        assert set(curve.counts.tolist()) == {4}
        usual = curve.point[curve.steps != 7_770]
        assert np.allclose(usual, 1.5, atol=0.5)  # the mean over seeds 0 to 3, not one of them
        assert any(seed_delays) or curve.point.max() == 1_000.0  # no peak is lost


def test_csv_contains_every_measurement(five_seeds: Store) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of(five_seeds.measured_runs(range(1, 16), SUCCESS), SUCCESS))))
    assert len(rows) == 15 * 3
    assert {(row["method"], row["run"], row["step"]): float(row[SUCCESS]) for row in rows}[
        "uniform", "3", "20000"
    ] == pytest.approx(0.1)


def test_csv_contains_every_measurement_of_a_curve_that_the_page_downsamples(store: Store) -> None:
    run_id = store.create_run({"env": "DoorKey-8x8", "replay": "per", "total_steps": 10**6}, render_spec={}, success_rule="")
    writer = store.writer(run_id)
    for step in range(2 * MAX_POINTS):
        writer.add_metric("train/td_loss", step, step / 10)
    writer.flush()
    (panel,) = compare_view(store, [run_id], "train/td_loss").panels
    assert len(panel.curves[0].raw[0].steps) <= MAX_POINTS
    rows = csv_of(store.measured_runs([run_id], "train/td_loss"), "train/td_loss").splitlines()[1:]
    assert [int(row.split(",")[-2]) for row in rows] == list(range(2 * MAX_POINTS))


def test_a_method_that_looks_like_a_formula_or_markup_is_text(store: Store) -> None:
    add_run(store, "vlm", 0, (0.5,), prompt='=cmd()<script>alert(1)</script>"', env="=evil()", scorer="embedded")
    view = compare_view(store, default_runs(store))
    assert csv_of(store.measured_runs([1], SUCCESS), SUCCESS).splitlines()[1].startswith("'=evil()")
    page = html_of(view)
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    (figure,) = [comparison_figure(panel, view.metric, as_share=True) for panel in view.panels]
    assert all("<" not in trace["name"] for trace in figure["data"] if trace.get("showlegend", True))


def test_a_chart_of_runs_that_start_with_play_says_so_and_how_often_play_solved_the_task(store: Store) -> None:
    for number, steps in enumerate((0, 10_000, 20_000)):
        add_run(store, "vlm", 0, (0.5,), env=f"task-{number}", play_steps=steps)
    writer = store.writer(2)
    for number, success in enumerate((True, True, False, True)):
        writer.add_episode(Episode(200 * number, 0, number, 0, 200, -100.0, success))
    writer.add_episode(Episode(10_000, 0, 4, 0, 200, -100.0, False))  # the agent's own
    writer.flush()
    view = compare_view(store, [1, 2, 3])
    solved = "with 10,000 steps of scripted play, which solved the task in 75 % of its 4 episodes"
    assert [panel.beginning for panel in view.panels] == ["", solved, "with 20,000 steps of scripted play"]
    assert html_of(view).count(f"<p>Runs start {solved}.</p>") == 1


def add_successes(store: Store, run_id: int, steps: list[int]) -> None:
    writer = store.writer(run_id)
    for number, step in enumerate(steps):
        writer.add_episode(Episode(step, 0, number, 0, 10, 1.0, True))
    writer.flush()


def test_the_page_and_the_exports_show_discovery_and_consolidation(five_seeds: Store) -> None:
    for run in five_seeds.runs():
        add_successes(five_seeds, run.run_id, [1_000, 2_000, 3_000, 4_000, 5_000 + run.seed])
    view = compare_view(five_seeds, default_runs(five_seeds))
    (panel,) = view.panels
    assert panel.phases == ("first success", "fifth success", "fifth success to 50 %", "fifth success to 90 %")
    rows = {row.label: row.phases for row in panel.rows}
    assert (rows["vlm (oracle)"][1].point, rows["vlm (oracle)"][2].point) == (5_002, 4_998)
    assert (rows["uniform"][2].censored, rows["uniform"][2].n) == (5, 5)
    assert any(words.startswith("vlm (oracle) is ahead of uniform in consolidation") for words in panel.verdict.sentences)
    page = html_of(view)
    for words in ("Discovery and consolidation", "fifth success to 50 %", "5/5 censored", "steps to 50 %, difference"):
        assert words in page
    rows = list(csv.DictReader(io.StringIO(csv_of(five_seeds.measured_runs([1, 3], SUCCESS), SUCCESS))))
    assert {(row["run"], row["first_success"], row["fifth_success"], row["to_50"]) for row in rows} == {
        ("1", "1000", "5000", "5000"),
        ("3", "1000", "5000", ""),
    }


def test_without_a_success_in_training_or_for_another_metric_there_are_no_phases_to_show(five_seeds: Store) -> None:
    (panel,) = compare_view(five_seeds, default_runs(five_seeds)).panels
    assert panel.phases == ("first success", "fifth success")
    assert {row.phases[0].censored for row in panel.rows} == {5}
    writer = five_seeds.writer(1)
    writer.add_metric("train/td_loss", 10, 0.5)
    writer.flush()
    (panel,) = compare_view(five_seeds, [1], "train/td_loss").panels
    assert panel.phases == () and "Discovery" not in html_of(compare_view(five_seeds, [1], "train/td_loss"))


def test_figures_have_a_band_and_a_line_for_each_method(five_seeds: Store) -> None:
    (panel,) = compare_view(five_seeds, default_runs(five_seeds)).panels
    figure = comparison_figure(panel, SUCCESS, as_share=True)
    assert sum(trace.get("fill") == "toself" for trace in figure["data"]) == 3
    assert [trace["name"] for trace in figure["data"] if trace["mode"] == "lines+markers"] == [
        "per (n=5)",
        "uniform (n=5)",
        "vlm (oracle) (n=5)",
    ]
    json.dumps(figure, allow_nan=False)


def test_exports_are_downloads_and_bad_queries_get_an_error_status(five_seeds: Store) -> None:
    studio = Studio.open(five_seeds.url)
    with TestClient(Starlette(routes=media_routes(studio))) as client:
        for form, start in (("html", "<!doctype html>"), ("csv", "env,algo,method"), ("json", "{")):
            reply = client.get("/studio/export", params={"runs": "1,2,3", "format": form})
            assert reply.status_code == 200
            assert reply.text.startswith(start)
            assert f'filename="vlmrb-comparison.{form}"' in reply.headers["Content-Disposition"]
        for query, status in (({}, 400), ({"runs": "x"}, 400), ({"runs": "1", "format": "exe"}, 400), ({"runs": "99"}, 404)):
            assert client.get("/studio/export", params=query).status_code == status
        page = client.get("/studio/export", params={"runs": "1,2,3", "format": "html"}).text
        for words in ("vlm (oracle) over uniform", "area to step 30,000", "total_steps=30000 replay=uniform"):
            assert words in page
    studio.close()


def test_intervals_and_thresholds_are_formatted() -> None:
    assert interval_words(stats.Interval(5, 0.614, 0.43, 0.8), True) == "61 [43, 80] %"
    assert interval_words(stats.Interval(1, 0.5, None, None), False) == "0.5"
    assert interval_words(None, True) == "–"
    some = stats.summarise_steps([100_000, 120_000, None], rng=np.random.default_rng(0))
    assert reaching_words(some).startswith("120,000 [100,000, …] (2/3)")
    assert reaching_words(stats.summarise_steps([None, None], rng=np.random.default_rng(0))) == "– (0/2)"


def test_why_runs_differ_is_told_in_words_and_by_what_each_method_drew(store: Store) -> None:
    drawn = {"scoring/yes_rate": 0.3, "scoring/event_rate": 0.2, "replay/drawn_yes": 0.6, "replay/held_yes": 0.3,
             "replay/vlm_share": 0.5, "train/td_loss": 0.1}  # fmt: skip
    vlm = [add_run(store, "vlm", seed, (0.5, 0.8, 1.0)) for seed in (0, 1)]
    per = add_run(store, "per", 0, (0.1, 0.2, 0.3), scorer=None)
    for run_id in (*vlm, per):
        writer = store.writer(run_id)
        for name, value in drawn.items() if run_id != per else [("train/td_loss", 0.4)]:
            for step in STEPS:
                writer.add_metric(name, step, value * (2 if (run_id, name) == (vlm[1], "replay/drawn_yes") else 1))
        writer.flush()
    [task] = explain(store, [*vlm, per])
    assert [run.run_id for run in task.runs] == vlm  # PER reads no labels
    assert all(len(run.sentences) == 1 for run in task.runs)
    yes, enrichment, _, loss = task.charts
    assert [curve.dashed for curve in yes.curves] == [False, True] and yes.share
    [steered] = enrichment.curves
    assert steered.run_ids == tuple(vlm)
    np.testing.assert_allclose(steered.values, 3.0)  # 2 in one run, 4 in the other
    assert steered.steps.tolist() == list(STEPS)
    assert {curve.label.split()[0]: curve.values[0] for curve in loss.curves} == {"vlm": 0.1, "per": 0.4}
    assert task.changes == task.branches == ()
    assert explain(store, [per]) == []


def test_why_shows_how_old_what_was_drawn_is_and_how_much_of_it_is_progress(store: Store) -> None:
    vlm, per = add_run(store, "vlm", 0, (0.5,)), add_run(store, "per", 0, (0.1,), scorer=None)
    for run_id in (vlm, per):
        writer = store.writer(run_id)
        for step in STEPS:
            for name, share in zip(DRAWN_AGES, (0.4, 0.3, 0.2, 0.1), strict=True):
                writer.add_metric(name, step, share)
            if run_id == vlm:  # a run without clips has no record of its draws
                writer.add_draws(draws(step, []))
        writer.flush()
    [task] = explain(store, [vlm, per])
    progress, ages = task.charts
    assert "progress" in progress.title and [(curve.dashed, curve.run_ids) for curve in progress.curves] == [
        (False, (vlm,)), (True, (vlm,)),
    ]  # fmt: skip
    assert [curve.values[0] for curve in progress.curves] == [0.3, 0.1]  # of 1,000 draws, and of 400 items held
    assert [(curve.dashed, *curve.run_ids, curve.values[0]) for curve in ages.curves] == [
        (False, vlm, 0.4), (False, per, 0.4), (True, vlm, 0.1), (True, per, 0.1),
    ]  # fmt: skip


def test_why_marks_live_changes_and_branches_where_they_are_on_the_time_axis(store: Store) -> None:
    config = {"env": "DoorKey-8x8", "algo": "dqn", "replay": "vlm", "scorer": "oracle", "total_steps": 30_000}

    def add(parent: tuple[int, int] | None = None, seed: int = 0) -> int:
        lineage = None if parent is None else Lineage(*parent, "step", 0)
        run_id = store.create_run(config | {"seed": seed}, render_spec={}, success_rule="", lineage=lineage)
        writer = store.writer(run_id)
        writer.add_metric("replay/vlm_share", (parent[1] if parent else 0) + 500, 0.5)
        writer.flush()
        return run_id

    trunk = add()
    branches = [add((trunk, 1_000), seed) for seed in (1, 2)]
    add((branches[0], 1_300), 3)
    for run_id, name, value, step in (
        (trunk, "lambda", 0.25, 700), (trunk, "pause", None, 800), (trunk, "lambda", "schedule", None),
        (branches[0], "lambda", "none", 1_200),
    ):  # fmt: skip
        change = store.request_change(run_id, name, value)
        if step is not None:
            store.acknowledge_change(change, applied_step=step)
    [alone] = explain(store, [trunk])
    assert alone.changes == (ChangeMark(trunk, 700, "lambda", "0.25"),)
    assert alone.branches == (BranchMark(trunk, 1_000, 2),)
    [branched] = explain(store, branches)
    assert branched.changes == (ChangeMark(branches[0], 200, "lambda", "no mixture"),), "since the branch"
    assert branched.branches == (BranchMark(branches[0], 300, 1),)


def test_curves_of_branches_lie_above_each_other_from_where_they_branched_off(store: Store) -> None:
    config = {"env": "DoorKey-8x8", "algo": "dqn", "replay": "vlm", "scorer": "oracle", "total_steps": 30_000}
    ids = []
    for seed, parent_step in enumerate((1_000, 4_000)):
        lineage = Lineage(parent_id=1, parent_step=parent_step, parent_moment="fifth-success", continuation_seed=0)
        ids.append(store.create_run(config | {"seed": seed}, render_spec={}, success_rule="", lineage=lineage))
        writer = store.writer(ids[-1])
        for step in (1_000, 2_000):
            writer.add_metric("replay/vlm_share", parent_step + step, 0.2 + seed * 0.2)
        writer.flush()
    [task] = explain(store, ids)
    [chart] = task.charts
    assert task.branched
    assert chart.curves[0].steps.tolist() == [1_000, 2_000]
    np.testing.assert_allclose(chart.curves[0].values, 0.3)


def test_how_much_of_the_machine_runs_used_is_not_compared(five_seeds: Store) -> None:
    with pytest.raises(ConfigError, match=r"'system/learner_cpu' says how much of the machine .* choose eval/success_rate"):
        compare_view(five_seeds, [1, 2], "system/learner_cpu")


def test_clips_of_runs_are_shown_at_the_same_step_by_method_and_run(store: Store) -> None:
    def add(replay: str, steps: int, parent_step: int | None = None, **settings: object) -> int:
        lineage = None if parent_step is None else Lineage(1, parent_step, "step", 0)
        config = {"env": "DoorKey-8x8", "replay": replay, "scorer": "oracle", "total_steps": 9_000, **settings}
        run_id = store.create_run(config, render_spec={}, success_rule="", lineage=lineage)
        writer = store.writer(run_id)
        for number, start in enumerate(range(parent_step or 0, (parent_step or 0) + steps, 100)):
            writer.add_clip(clip(run_id, number, start=start, stride=1))
        writer.flush()
        store.heartbeat(run_id, (parent_step or 0) + steps)
        return run_id

    long, short, branch = add("vlm", 4_000), add("per", 1_000), add("vlm", 2_000, 500)
    bare = add("uniform", 0, keep_clips=False)
    last = clips_at(store, [long, short, branch, bare, 99], None)
    assert (last.step, last.last, last.left_out) == (4_000, 4_000, 0)
    assert [row.run_id for row in last.rows] == [short, bare, long, branch]  # by method, and runs that are gone are left out
    found = clips_at(store, [long, short, branch, bare], 1_500)
    rows = {row.run_id: row for row in found.rows}
    assert [card.start_step for card in rows[long].cards] == [1_300, 1_400, 1_500, 1_600, 1_700]
    assert [card.start_step for card in rows[branch].cards] == [1_800, 1_900, 2_000, 2_100, 2_200], "since the branch"
    assert (rows[short].ended, rows[short].cards[-1].start_step, rows[long].ended) == (1_000, 900, None)
    assert rows[bare].cards == [] and rows[bare].why_none == "This run keeps no clips."
    assert clips_at(store, [long], 10**9).step == 4_000
    assert clips_at(store, [99], 5) == ClipsAt(0, 0, [], 0)


def test_of_very_many_runs_the_clips_of_some_are_shown_and_the_others_counted(store: Store) -> None:
    ids = [add_run(store, "vlm", seed, (0.5,)) for seed in range(MAX_ROWS + 2)]
    found = clips_at(store, ids, 0)
    assert (len(found.rows), found.left_out) == (MAX_ROWS, 2)
    assert found.rows[0].why_none == "This run has no clips yet."
