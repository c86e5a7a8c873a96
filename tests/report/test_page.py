"""The page in a real browser: opened from disk without a network, read, searched, decided on, exported, attacked."""

import json
import shutil

import pyarrow as pa
import pytest
import yaml
from support import page_run
from support.page_run import Opened, decide
from support.planted_arms import plant, training

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.features.feature_store import FeatureStore
from anatomy.runs.manifest import Manifest
from anatomy.workflows.report import report
from interventions.plan.plan import Plan, load_plan

VIEWS = ("verdict", "data", "sae", "global", "local", "rows", "decisions", "shift", "provenance")
SHOWN = {
    "verdict": ".verdict strong", "data": "td", "sae": "td", "global": ".list .item", "local": ".list .item",
    "rows": ".pair .text", "decisions": ".empty", "shift": ".empty", "provenance": "pre",
}  # fmt: skip


def main_data(run):
    text = (run / artifacts.REPORT / artifacts.REPORT_PAGE).read_text()
    return json.loads(text.split('id="part-main">')[1].split("</script>")[0])


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_from_disk_and_shows_data(opened, view):
    page = opened.go(f"view={view}")
    page.wait_for_selector(f"main[data-view={view}] {SHOWN[view]}")
    assert page.locator("nav a[aria-current=page]").count() == 1
    assert page.locator("h1").inner_text()


def test_the_planted_concept_leads_the_ranking_and_tells_its_numbers(opened, audited):
    page = opened.go("view=global&sort=d")
    page.wait_for_selector(".item")
    assert "bold" in page.locator(".item").first.inner_text()
    clusters = main_data(audited)["clusters"].items()
    on_map = [name for name, item in clusters if "at" in item and (name[0] == "R" or item["kind"] == "concept")]
    assert len(on_map) > 1
    opened.wait(f"document.querySelectorAll('.map .dot').length === {len(on_map)}")


def test_hostile_text_stays_text(opened):
    page = opened.go("view=rows&words=window.hacked&mode=plain")
    page.wait_for_selector(".pair .text")
    shown = page.locator(".pair").inner_text()
    assert page_run.SCRIPT in shown
    assert "</script><img src=x onerror='window.hacked = 1'><b>bold</b> \\u202ereversed\\u001b[31m &amp; {{x}}" in shown
    for mode in ("tokens", "diff"):
        page = opened.go(f"view=rows&words=window.hacked&row=5&mode={mode}&color=R1")
        page.wait_for_selector(".pair .text")
        assert page_run.SCRIPT in page.locator(".side.chosen").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('main img, main script, main b').length") == 0


def test_conversations_and_tool_calls_are_rendered(opened):
    page = opened.go("view=rows&words=needleword")
    page.wait_for_selector(".tool-call")
    assert page.locator(".prompt .message").count() == 4
    assert "weather" in page.locator(".tool-call code").inner_text()
    assert '"city": "Oslo"' in page.locator(".tool-call pre").inner_text()
    assert page.locator(".prompt .message.tool .text").inner_text() == "rain, 7 degrees"


def test_search_filter_and_sort_of_rows(opened):
    page = opened.go("view=rows")
    page.wait_for_selector(".item")
    assert "120 rows of 120" in page.locator(".left > .note").inner_text()
    page.get_by_label("source").select_option("web")
    opened.wait("document.querySelector('.left > .note').textContent.startsWith('80 rows')")
    page.get_by_label("order").select_option("longer")
    page.wait_for_selector(".reader .side.chosen")
    number = r"Number(document.querySelector('.side.%s h3 .note').textContent.match(/· (\d+) token/)[1])"
    longest = page.evaluate(f"{number % 'chosen'} - {number % 'rejected'}")
    page.get_by_label("order").select_option("shorter")
    opened.wait(f"{number % 'chosen'} - {number % 'rejected'} < {longest}")
    page.get_by_label("texts").fill("about fox number")
    opened.wait("/with “about fox/.test(document.querySelector('.left > .note').textContent)")
    expected = sum(
        "about fox number" in row["prompt"][0]["content"] and row["source"] == "web" for row in page_run.rows()
    )
    assert 0 < expected < 80
    opened.wait(f"document.querySelectorAll('.item').length === {expected}")
    opened.wait("location.hash.includes('source=web') && location.hash.includes('words=about')")


def test_search_and_filters_of_tests(opened):
    page = opened.go("view=global&level=1")
    page.wait_for_selector(".item")
    page.get_by_label("labels and tokens").fill("bold")
    opened.wait("location.hash.includes('words=bold')")
    opened.wait("document.querySelectorAll('.item').length === 1")
    page.wait_for_selector(".list:has-text('bold')")
    page.get_by_label("labels and tokens").fill("")
    page.get_by_label("direction").select_option("rejected")
    opened.wait("document.querySelectorAll('.item svg.chosen').length === 0")


def test_a_link_restores_every_part_of_the_state(opened, browser, audited):
    page = opened.go("view=rows&cluster=bold&sort=signal&sign=chosen&row=17&mode=diff&source=web")
    page.wait_for_selector("mark.only")
    state = """[document.querySelector('.reader h2').textContent, document.querySelectorAll('mark.only').length,
               [...document.querySelectorAll('select')].map((box) => box.value)]"""
    opened.wait("document.querySelector('.reader h2').textContent === 'Row 18'")
    before = page.evaluate(state)
    other = Opened(browser, audited)
    other.page.goto(page.url)
    other.wait(
        f"JSON.stringify({state}) === {json.dumps(json.dumps(before, ensure_ascii=False, separators=(',', ':')))}"
    )
    assert other.page.evaluate(state) == before
    assert before[0] == "Row 18"
    assert set(before[2]) >= {"bold", "signal", "chosen", "web"}
    other.context.close()


def test_keys_move_search_and_help(opened):
    page = opened.go("view=rows")
    page.wait_for_selector(".pair")
    for key, row in (("j", "1"), ("ArrowDown", "2"), ("k", "1")):
        page.keyboard.press(key)
        opened.wait(f"new URLSearchParams(location.hash.slice(1)).get('row') === '{row}'")
    page.keyboard.press("/")
    opened.wait("document.activeElement.type === 'search'")
    page.keyboard.press("Escape")
    opened.wait("document.activeElement.type !== 'search'")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]:has-text('next and previous')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("4")
    page.wait_for_selector("main[data-view=global] .item")
    page.keyboard.press("j")
    opened.wait("location.hash.includes('cluster=')")
    page.keyboard.press("Enter")
    page.wait_for_selector("main[data-view=rows] .pair")


def test_decisions_are_kept_exported_and_imported(opened, audited, tmp_path):
    page = opened.page
    decide(opened, "view=global&cluster=R1", "R1", "suppress", 'says "x": <b>\n')
    decide(opened, "view=global&cluster=bold", "bold", "amplify")
    decide(opened, "view=global&cluster=D1", "D1", "remove")
    decide(opened, "view=rows&row=3", "this row", "remove", "wrong label")
    page.reload()
    page = opened.go("view=decisions")
    plan = tmp_path / "plan.yaml"
    with page.expect_download() as download:
        page.get_by_text("Export plan").click()
    download.value.save_as(plan)
    with page.expect_download() as download:
        page.get_by_text("Export rows").click()
    download.value.save_as(tmp_path / "rows.jsonl")

    row_id = FeatureStore(audited / artifacts.FEATURES).row_ids[3]
    record = yaml.safe_load(plan.read_text())
    shaping = {"strength": 1, "backend": "reward_shaping"}
    dropping = {"direction": "suppress", "strength": 1, "backend": "filtering"}
    assert record["schema_version"] == Plan.VERSION
    assert record["run"] == str(audited)
    assert record["interventions"] == [
        {"concept": "bold", "direction": "amplify", **shaping},
        {"cluster": "D1", **dropping},
        {"cluster": "R1", "direction": "suppress", **shaping},
        {"rows": [row_id], **dropping},
    ]
    assert {"target": "R1", "decision": "suppress", "comment": 'says "x": <b>'} in record["decisions"]
    assert json.loads((tmp_path / "rows.jsonl").read_text()) == {
        "row_id": row_id,
        "decision": "remove",
        "comment": "wrong label",
    }
    assert [item.name for item in load_plan(plan).interventions] == ["bold", "D1", "R1", "1 rows named"]

    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector("main .empty")
    for name, count in (("rows.jsonl", 1), ("plan.yaml", 4)):
        page.locator("input[type=file]").set_input_files(tmp_path / name)
        opened.wait(f"document.querySelectorAll('main tbody tr').length === {count}")
    assert page.locator("pre.plan").inner_text().strip() == plan.read_text().strip()


def imported(opened, path):
    """What the page says once it has read the file."""
    page = opened.go("view=decisions")
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_selector("[role=status]:not(:empty)")
    return page.locator("[role=status]").inner_text()


def test_a_plan_of_the_command_line_is_imported_as_it_is(opened, audited, tmp_path):
    """Block YAML, as `anatomy plan` writes it; strength and backend survive, and the export is the same plan."""
    plan, again = tmp_path / "plan.yaml", tmp_path / "again.yaml"
    decisions = ["--suppress", "R1,bold", "--keep", "R2", "--backend", "reward_shaping", "--strength", "2.5"]
    assert main(["plan", str(audited), *decisions, "--out", str(plan)]) == 0
    assert "3 decisions taken from plan.yaml" in imported(opened, plan)
    page = opened.page
    page.wait_for_selector("main tbody tr:has-text('R2') button.keep[aria-pressed=true]")
    with page.expect_download() as download:
        page.get_by_text("Export plan").click()
    download.value.save_as(again)
    by_name = [{item.name: item for item in load_plan(path).interventions} for path in (plan, again)]
    assert by_name[0] == by_name[1]
    assert {item.strength for item in by_name[1].values()} == {2.5}


def test_the_page_and_the_command_line_make_one_plan_of_the_same_decisions(opened, audited, tmp_path):
    """Every kind of decision, on a cluster, a concept and a group of rows; the order of a plan's parts says nothing."""
    taken = {"R1": "suppress", "bold": "amplify", "D1": "remove", "R2": "keep"}
    for target, decision in taken.items():
        decide(opened, f"view=global&cluster={target}", target, decision)
    page = opened.go("view=decisions")
    with page.expect_download() as download:
        page.get_by_text("Export plan").click()
    download.value.save_as(tmp_path / "page.yaml")
    flags = [word for target, decision in taken.items() for word in (f"--{decision}", target)]
    assert main(["plan", str(audited), *flags, "--out", str(tmp_path / "line.yaml")]) == 0
    plans = [load_plan(tmp_path / name).model_dump() for name in ("page.yaml", "line.yaml")]
    for plan in plans:
        plan["interventions"] = sorted(plan["interventions"], key=lambda item: item["cluster"] or item["concept"])
        plan["decisions"] = sorted(plan["decisions"], key=lambda item: item["target"])
    assert plans[0] == plans[1]
    assert [len(plans[0][name]) for name in ("interventions", "decisions")] == [3, 4]


def test_a_plan_that_a_person_edited_is_imported(opened, audited, tmp_path):
    """Comments, folded text, another backend, decisions taken away, a target that this run does not have."""
    plan = tmp_path / "edited.yml"
    plan.write_text(
        f"run: {audited}\n# checked by hand\ninterventions:\n"
        "- {concept: bold, direction: suppress, strength: 1, backend: inoculation, options: {side: both}}\n"
        "- cluster: D1\n  direction: suppress\n  backend: filtering\n"
        "- concept: unheard-of\n  direction: amplify\n  backend: reward_shaping\n"
        "decisions:\n- target: R1\n  decision: keep\n  comment: >\n    looked at,\n    stays\n"
    )
    text = imported(opened, plan)
    assert "3 decisions taken from edited.yml. 1 line of it name" in text
    assert '"side":"both"' in opened.page.locator("pre.plan").inner_text().replace(" ", "")
    opened.page.wait_for_selector("main tbody tr:has-text('D1') button.remove[aria-pressed=true]")
    comments = opened.page.evaluate("[...document.querySelectorAll('main input.comment')].map((box) => box.value)")
    assert "looked at, stays" in [comment.strip() for comment in comments]


def test_a_plan_of_other_clusters_brings_its_concepts_alone(opened, audited, tmp_path):
    """The audit was made again since, so `R1` meant another cluster."""
    plan = tmp_path / "older.yaml"
    assert main(["plan", str(audited), "--suppress", "R1,bold", "--out", str(plan)]) == 0
    made = Manifest.of(audited).identity
    plan.write_text(plan.read_text().replace(made, made[::-1]))
    assert "1 decision taken from older.yaml. 2 lines of it name" in imported(opened, plan)


@pytest.mark.parametrize(
    ("content", "why"),
    [("just words", "no `decisions` or `interventions`"), ("a: [1", "unexpected end"), ("x: 1", "no `decisions`"),
     ("schema_version: 2\ninterventions: []\n", "of schema version 2, and 1 is read here"),
     ("!!js/function 'function () { window.hacked = 1 }'", "unknown tag")],
)  # fmt: skip
def test_what_is_no_plan_is_refused_in_one_line(opened, tmp_path, content, why):
    (tmp_path / "other.yaml").write_text(content)
    text = imported(opened, tmp_path / "other.yaml")
    assert text.startswith("other.yaml cannot be read as a plan: ")
    assert why in text
    assert "\n" not in text
    assert opened.page.evaluate("window.hacked") is None


def test_token_colours_are_the_peaks_of_the_clusters_features(opened, audited):
    """Sum of the colours of a row's chosen side against the feature store, added up by hand."""
    row, cluster = main_data(audited)["rows"]["tokens"][0], "R1"
    page = opened.go(f"view=rows&row={row}&mode=tokens&color={cluster}")
    page.wait_for_selector(".pair .hot")
    shown = page.evaluate("[...document.querySelectorAll('.side.chosen .hot')].map((node) => Number(node.title))")
    table = artifacts.read_table(audited / artifacts.CLUSTERS).to_pylist()
    members = [line["feature"] for line in table if line["cluster"] == cluster]
    maximum = FeatureStore(audited / artifacts.FEATURES).matrix("chosen", "max")[[row]]
    expected = float(maximum[:, members].sum())
    assert sum(shown) == pytest.approx(expected, abs=maximum.nnz * float(maximum.max()) / 255 + 0.01 * len(shown))
    assert len(shown) <= maximum[:, members].nnz


def test_differences_are_words_of_one_side_only(opened):
    page = opened.go("view=rows&row=10&mode=diff")
    page.wait_for_selector("mark.only")
    row = page_run.rows()[10]
    words = {side: set(row[side][0]["content"].replace("*", " ").split()) for side in ("chosen", "rejected")}
    for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
        last = f"[...document.querySelectorAll('.side.{side} .text')].at(-1)"
        assert page.evaluate(f"{last}.textContent") == row[side][0]["content"]
        kept = f"[...{last}.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent)"
        unmarked = " ".join(page.evaluate(kept))
        assert set(unmarked.replace("*", " ").split()) <= words[side] & words[other]


def test_exemplars_lead_to_rows_and_back(opened):
    page = opened.go("view=global&cluster=R1")
    page.wait_for_selector(".exemplars a")
    page.locator(".exemplars a").first.click()
    page.wait_for_selector("main[data-view=rows] .pair")
    opened.wait("location.hash.includes('color=R1')")
    page.get_by_text("about R1").click()
    page.wait_for_selector("main[data-view=global] .card h2")
    page.go_back()
    page.wait_for_selector("main[data-view=rows] .pair")


def test_maps_can_be_zoomed_with_plotly(opened, audited):
    page = opened.go("view=global")
    page.wait_for_selector(".map svg")
    dots = opened.count(".map .dot")
    page.get_by_text("zoom and pan").click()
    page.wait_for_selector(".map .plotly .scatterlayer path.point")
    assert opened.count(".map .plotly .scatterlayer path.point") == dots


def test_both_themes_and_print(opened):
    back = "getComputedStyle(document.body).backgroundColor"
    page = opened.page
    page.wait_for_selector("h1")
    light = page.evaluate(back)
    page.get_by_text("light / dark").click()
    opened.wait(f"{back} !== {light!r}")
    page.emulate_media(media="print")
    page.wait_for_selector("nav", state="hidden")
    page.wait_for_selector("h1", state="visible")


def test_a_validation_is_shown_with_its_numbers(browser, audited, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(audited, run)
    figure = {"n": 3, "r": 0.5, "r_low": 0.1, "r_high": 0.8, "slope": 1.25, "r2_out": 0.2, "r2_fit": 0.25}
    figure |= {"spearman": 0.5, "deciles": [], "share_of_attainable": 0.3}
    figure |= {"ceiling": {"half_r": 0.7, "reliability": 0.8, "attainable_r": 0.9, "attainable_r2": 0.81}}
    figure |= {"top": [{"k": 10, "same_sign": 0.7, "confirmed": 2, "refuted": 0}]}
    flipped = {"r": 0.0, "low": -0.31, "high": 0.33, "repetitions": 20}
    drift = {"learning_rate": 2e-4, "steps": 29, "margin": 0.64, "common": -4.39}
    plant(
        run / artifacts.VALIDATIONS / "first",
        {("concept", "bold"): 0.1},
        training(reward_drift=drift),
        agreements={"mean": dict.fromkeys(("global", "concept", "feature"), figure)},
        controls={"global": {"labels flipped": flipped}},
        warning="both <b>fell</b>",
        about=Manifest.of(run).cluster_hashes(),
    )
    artifacts.write_json(run / artifacts.VALIDATIONS / "arms.json", [{"arm": "shaped", "recovery": 0.83}])
    line = {"predictor": "mean", "view": "global", "context": "all", "observed_low": 0.0, "observed_high": 0.4}
    lines = [{**line, "response": f"R{n}", "predicted": n / 10, "observed": n / 5} for n in (-1, 1, 2)]
    lines.append({**line, "response": "R4", "predicted": float("nan"), "observed": 1.0})
    lines.append({**line, "predictor": "other", "response": "R5", "predicted": 1.0, "observed": 1.0})
    lines.append({**line, "view": "concept", "response": "bold", "predicted": -0.12, "observed": -0.08})
    several = {"view": "feature", "observed": 1.0}
    lines += [{**line, **several, "response": f"R{n}", "predicted": 1.0 / (n + 1)} for n in range(900)]
    folder = run / artifacts.VALIDATIONS / "first"
    artifacts.write_table(folder / artifacts.SHIFTS, pa.Table.from_pylist(lines))
    artifacts.record_outputs(folder, [artifacts.SHIFTS], artifacts.made_of(folder))
    report(run)
    opened = Opened(browser, run)
    page = opened.go("view=shift")
    page.wait_for_selector("svg.shifts")
    assert opened.count("svg.shifts[aria-label$='response clusters'] .point") == 3
    drawn = [shift["predicted"] for shift in main_data(run)["validation"][1]["shifts"] if shift["view"] == "feature"]
    assert len(drawn) == 300
    assert {1.0, 0.01, 1 / 900} <= set(drawn)  # the hundred largest, and others down to the smallest
    assert {"bold", "−0.120", "−0.080", "[−0.31, +0.33]"} <= set(page.locator("td").all_inner_texts())
    assert {"+0.50", "1.250", "shaped", "0.83"} <= set(page.locator("td").all_inner_texts())
    assert "29 steps at learning rate 0.0002" in page.locator(".note").first.inner_text()
    assert "both <b>fell</b>." in page.locator("p.warning").first.inner_text()
    opened.go("view=verdict")
    page.wait_for_selector("text=A trained model was compared")
    assert opened.faults == []
    opened.context.close()


def test_the_rows_behind_a_finding_are_as_many_as_the_verdict_says(opened, audited):
    record = main_data(audited)["verdict"]
    finding = next(item for item in [*record["risks"], *record["signals"]] if item["view"] != "baseline")
    page = opened.page
    page.locator(".verdict a", has_text=" rows").first.click()
    page.wait_for_selector("main[data-view=rows] .item")
    assert page.locator(".left > .note").inner_text().startswith(f"{finding['rows_affected']} row")
