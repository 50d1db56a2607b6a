"""Sweeps: what a file asks for, cells that are run once, and what W&B is told."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason='needs pip install "propersim[wandb]"')

from propersim_env.cli import main
from propersim_env.evaluation.cells import CELL_FILE, Cell, cells_of, read_sweep
from propersim_env.schema import DataError

SHIPPED = sorted((Path(__file__).parent.parent / "baselines" / "sweeps").glob("*.yaml"))
GRID = """\
method: grid
parameters:
  assistant: {value: fixed-rate}
  personas: {value: "dev:2"}
  days: {value: 1}
  per_day: {values: [2, 4]}
  seed: {values: [0, 1]}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(GRID)
    return file


class TestFiles:
    def test_a_grid_has_every_combination_in_order(self, sweep):
        cells = cells_of(read_sweep(sweep))
        assert [(c.options["per_day"], c.world["seed"]) for c in cells] == [(2, 0), (2, 1), (4, 0), (4, 1)]
        assert {c.spec for c in cells} == {"fixed-rate:per_day=2", "fixed-rate:per_day=4"}

    def test_what_is_drawn_lies_where_it_should_and_is_the_same_each_time(self, sweep):
        sweep.write_text(GRID.replace("grid", "random\nrun_cap: 200").replace("values: [2, 4]", "min: 1, max: 3")
                         .replace("seed: {values: [0, 1]}",
                                  "rate: {min: 0.001, max: 1.0, distribution: log_uniform_values}\n"
                                  "  share: {min: 0.0, max: 2.0}"))
        cells = cells_of(read_sweep(sweep))
        assert [c.id for c in cells] == [c.id for c in cells_of(read_sweep(sweep))]
        assert {c.options["per_day"] for c in cells} == {1, 2, 3}
        assert all(0 <= c.options["share"] <= 2 for c in cells)
        assert 0.3 < sum(c.options["rate"] < 0.03 for c in cells) / len(cells) < 0.7

    @pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
    def test_shipped_ones_can_be_run(self, file, tmp_path, capsys):
        assert main(["sweep", str(file), "--dry-run", "--cells", str(tmp_path)]) == 0
        assert "nothing was run" in capsys.readouterr().out

    @pytest.mark.parametrize(("change", "said"), [
        (("grid", "bayes"), "wandb agent"), (("grid", "random"), "run_cap"),
        (("values: [2, 4]", "valeus: [2]"), "did you mean 'val"),
        (("values: [2, 4]", "min: 1, max: 3"), "a grid cannot"), (("parameters", "params"), "parameters"),
        (("{values: [2, 4]}", "3"), "write value"), (("grid", "[grid"), "cannot be read"),
        (("values: [2, 4]", "values: []"), "no values")])
    def test_what_is_wrong_is_told(self, change, said, sweep):
        sweep.write_text(sweep.read_text().replace(*change))
        with pytest.raises(DataError, match=said):
            read_sweep(sweep)

    @pytest.mark.parametrize(("change", "said"), [
        (("per_day", "per_dya"), "it accepts: per_day"), (("fixed-rate", "fixed-rat"), "did you mean 'fixed-rate'"),
        (("dev:2", "dve:2"), "did you mean 'dev'"), (("days: {value: 1}", 'days: {value: "one"}'), "is no integer"),
        (("{value: fixed-rate}", '{value: ""}'), "needs an assistant")])
    def test_what_no_cell_can_be_is_told_before_any_is_run(self, change, said, sweep, tmp_path, capsys):
        sweep.write_text(sweep.read_text().replace(*change))
        assert main(["sweep", str(sweep), "--cells", str(tmp_path / "cells")]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "cells").exists()


class TestCells:
    def test_a_name_stands_for_what_decides_the_result(self):
        cell = Cell.of({"assistant": "random", "p": 0.02, "days": 3})
        assert cell.id == Cell.of({"days": 3, "timeout": 5, "p": 0.02, "assistant": "random"}).id
        assert cell.id != Cell.of({"assistant": "random", "p": 0.03, "days": 3}).id
        assert cell.world_id == Cell.of({"assistant": "silent", "days": 3}).world_id
        assert cell.world_id != Cell.of({"assistant": "silent"}).world_id

    def test_each_is_run_once_and_the_oracle_once_a_world(self, sweep, tmp_path, capsys):
        command = ["sweep", str(sweep), "--cells", str(tmp_path / "cells"), "--json"]
        assert main(command) == 0
        first = json.loads(capsys.readouterr().out)
        assert len(first) == 4
        assert [row["utility"]["mean"] for row in first] == sorted((row["utility"]["mean"] for row in first), reverse=True)
        logs = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "cells").glob("*/events-*")}
        assert len(logs) == 16
        of_oracle = [content for path, (_, content) in logs.items() if path.name.startswith("events-oracle")]
        assert len(of_oracle) == 8
        assert len(set(of_oracle)) == 4
        assert main(command) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out) == first
        assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in logs} == logs
        alone = ["cell", "--assistant=fixed-rate", "--per_day=2", "--personas=dev:2", "--days=1", "--seed=1", "--json",
                 "--cells", str(tmp_path / "cells")]
        assert main(alone) == 0
        found = json.loads(capsys.readouterr().out)
        assert found == {k: v for k, v in next(r for r in first if r["cell"]["per_day"] == 2 and r["cell"]["seed"] == 1).items()
                         if k not in ("cell", "id")}
        assert {path: path.stat().st_mtime_ns for path in logs} == {path: time for path, (time, _) in logs.items()}

    @pytest.mark.parametrize("given", ["--per_day", "per_day=3", "--=3"])
    def test_odd_arguments_are_told(self, given, capsys):
        assert main(["cell", "--assistant=fixed-rate", given]) == 2
        assert "write --name=value" in capsys.readouterr().err

    def test_other_commands_take_no_further_arguments(self, capsys):
        with pytest.raises(SystemExit):
            main(["run", "--assistnats=silent"])
        assert "unrecognized arguments: --assistnats=silent" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_wandb_is_told_curves_texts_and_the_page(tmp_path, wandb_offline, capsys):
    command = ["cell", "--assistant=fixed-rate", "--per_day=4", "--personas=dev:2", "--days=2", "--tracker", "wandb",
               "--cells", str(tmp_path / "cells")]
    assert main(command) == 0
    cell = Cell.of({"assistant": "fixed-rate", "per_day": 4, "personas": "dev:2", "days": 2})
    assert (tmp_path / "cells" / cell.id / CELL_FILE).exists()
    kept = list(wandb_offline.glob(f"offline-run-*-{cell.id}"))
    assert len(kept) == 1
    binary = next(kept[0].glob("*.wandb")).read_bytes()
    for wanted in (b"by_day/utility", b"by_day/delivered", f"report-{cell.id}".encode(), b"fixed-rate"):
        assert wanted in binary
    table = json.loads(next(kept[0].rglob("said*.table.json")).read_text())
    assert table["columns"][:6] == ["person", "seed", "day", "time", "text", "rating"]
    assert {row[0] for row in table["data"]} == {"s1-0000", "s1-0001"}
    assert sys.modules["wandb"].run is None


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_without_wandb_the_extra_is_named(tmp_path, capsys):
    assert main(["cell", "--assistant=silent", "--tracker", "wandb", "--cells", str(tmp_path)]) == 2
    assert 'pip install "propersim[wandb]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
