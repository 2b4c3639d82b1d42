"""The run table in a real browser: search by regular expression, groups and columns, remembered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from vlmrb import Store, make_config


def test_the_table_is_searched_by_expression_grouped_and_given_columns_that_are_remembered(
    page: Page, tmp_path: Path, start_studio: Callable[..., object], screenshot: Callable[[str], None]
) -> None:
    path = tmp_path / "runs.db"
    with Store(str(path)) as store:
        for gamma in (0.9, 0.95):
            for seed in (0, 1):
                config = make_config(env="DoorKey-5x5", replay="per", gamma=gamma, seed=seed)
                run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="reaches the goal")
                writer = store.writer(run_id)
                for step, value in ((1, 0.5), (2, 0.125), (3, 0.25)):
                    writer.add_metric("train/td_loss", step, value / run_id)
                writer.flush()
    url = start_studio(path).url
    page.goto(url)
    rows = page.locator("tr[data-run]")
    expect(rows).to_have_count(4)

    search = page.get_by_label("Find runs")
    page.get_by_role("button", name="Regular expression").click()
    search.fill("s[1")
    expect(page.get_by_role("alert").filter(has_text="s[1 is no regular expression (")).to_be_visible()
    expect(rows).to_have_count(4)
    search.fill("s[1]$")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("alert").filter(has_text="regular")).to_have_count(0)
    expect(page).to_have_url(re.compile("re=1"))

    page.get_by_role("button", name="View").click()
    page.get_by_label("What to add").select_option("min")
    page.get_by_label("Setting or metric").fill("train/td_loss")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("tr[data-run='2'] .col-extra")).to_have_text("0.0625")
    page.get_by_label("Steps/s", exact=True).uncheck()
    page.get_by_label("Group by").select_option("setting:gamma")
    expect(page.locator(".set-toggle")).to_have_text(["gamma 0.95", "gamma 0.9"])
    page.get_by_label("Setting or metric").fill("no/such")
    page.keyboard.press("Enter")
    expect(page.get_by_text("no/such is no metric of these runs; choose one from the list.")).to_be_visible()
    screenshot("runs-view")

    page.goto(url)
    expect(rows).to_have_count(4)  # a search is not remembered
    expect(page.locator(".set-toggle")).to_have_text(["gamma 0.95", "gamma 0.9"])
    expect(page.get_by_role("columnheader", name="td_loss (min)")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Steps/s")).to_have_count(0)
    page.get_by_role("button", name="td_loss (min)").click()
    expect(page).to_have_url(re.compile("sort=-min"))
    expect(rows.first).to_have_attribute("data-run", "1")
