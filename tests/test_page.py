"""The report as a page: one file, the figures of the run, and nothing that a log holds can break it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from propersim_env.cli import main
from propersim_env.evaluation import report
from propersim_env.evaluation.page import page_data, write_page
from propersim_env.evaluation.runner import RunError, RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import select_personas

HOSTILE = '</script><script>document.title = "taken"</script><img src=x onerror=alert(1)> & "quotes"'
ODD = f'''
class Odd:
    """Says the same hostile text at every 90th decision."""
    def reset(self, seed): self.n = 0
    def act(self, observation):
        self.n += 1
        return {HOSTILE!r} if self.n % 90 == 0 else ""
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("page")
    (base / "odd.py").write_text(ODD)
    plan = RunPlan(base / "run", (f"{base}/odd.py:Odd", "fixed-rate", "always", "silent", "oracle"),
                   tuple(select_personas("test:4")), (0,), RunConfig(2), ("test",))
    assert execute(plan, prepare(plan)) == []
    return plan.folder


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_the_figures_of_the_run(folder):
    page = write_page(folder).read_text(encoding="utf-8")
    data, shown = data_of(page), report.as_json(report.summarise(folder))
    assert data == page_data(folder, "run")
    assert [{k: v for k, v in row.items() if k != "marks"} for row in data["assistants"]] == shown["assistants"]
    assert data["notes"] == ["people of test"]
    said = {row["name"]: row["marks"] for row in data["assistants"]}
    assert said["silent"] == [None] * 4
    assert all(0.9 < share <= 1 for share in said["oracle"])
    assert data["provenance"] == json.loads((folder / "run.json").read_text())


def test_residents_are_the_best_the_middle_and_the_worst(folder):
    data = page_data(folder, "run")
    assert len(data["residents"]) == 3
    assert len({one["id"] for one in data["residents"]}) == 3
    for one in data["residents"]:
        assert len(one["days"]) == 2
        assert all(len(days) == 2 for days in one["said"].values())
        assert one["said"]["always"][0]["more"] > 200
        assert len(one["said"]["always"][0]["texts"]) == 40
        texts = one["said"]["oracle"][0]["texts"]
        assert all(0 <= text["minute"] < 1440 and len(text["reasons"]) == 4 for text in texts)


def test_it_is_one_file_that_asks_for_nothing(folder):
    page = write_page(folder).read_text(encoding="utf-8")
    code = page.replace(json.dumps(data_of(page), ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/"), "")
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)|@import|fetch\(|XMLHttpRequest|import\(""", code)
    assert set(re.findall(r"https?://[^\s\"']+", code)) == {"http://www.w3.org/2000/svg"}


def test_a_log_cannot_end_the_data(folder):
    page = write_page(folder, title=HOSTILE).read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    assert "<title>&lt;/script&gt;" in page
    odd = next(name for name in data_of(page)["residents"][0]["said"] if "Odd" in name)
    assert data_of(page)["residents"][0]["said"][odd][0]["texts"][0]["text"] == HOSTILE


def test_the_command_writes_it_where_it_is_told(folder, tmp_path, capsys):
    assert main(["report", str(folder), "--html", str(tmp_path / "mine.html")]) == 0
    assert (tmp_path / "mine.html").exists()
    assert "mine.html" in capsys.readouterr().out.replace("\n", "")
    with pytest.raises(RunError, match="no run folder"):
        write_page(tmp_path)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_a_browser_draws_it_without_an_error(folder, tmp_path):
    page = write_page(folder, tmp_path / "page.html", HOSTILE)
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path}/user", "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    dom = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert dom.count("<polyline") == 3 * 4  # all but `always`, whose utility would flatten the others, are shown at first
    assert dom.count("<tr>") >= 6
    assert "Minimum detectable difference" in dom
    assert "✗" in dom and "&lt;img src=x" in dom
    assert "<img" not in dom
