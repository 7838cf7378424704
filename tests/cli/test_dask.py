"""`predict --engine dask`: the same outputs as those of one process, whatever happens to workers and to the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster
from distributed.scheduler import KilledWorker, WorkerState

from resmem_cli.cli import engine
from resmem_cli.data import sources, tables
from resmem_cli.errors import EngineError
from resmem_cli.store import reading
from resmem_cli.workflow import cluster, cutting, evaluate_on_dask, loaded_once, predict_on_dask, predict_tasks
from resmem_cli.workflow.cluster import Workers
from resmem_cli.workflow.finished import Finished
from resmem_cli.workflow.inputs import Input, silent
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.predict_files import FilesOptions, Plan
from resmem_cli.workflow.predict_on_dask import predict_files
from resmem_cli.workflow.predict_tasks import Join, Part, Work
from resmem_cli.workflow.predicted import Failure, Tally, model_of
from resmem_cli.workflow.scoring import ScoreOptions
from tests.cli.conftest import PROGRAM, Run, table, write_csv
from tests.s3_server import Bucket

UNEXPECTED, USAGE, DATA, PARTIAL = 1, 2, 3, 6


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler with two workers, which start in a folder that is none of the tests'."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as running:
        yield running.scheduler_address


@pytest.fixture
def inputs(model: Callable[..., Path], tmp_path: Path) -> list[str]:
    """Files of several formats and folders, one of them without rows."""
    model()
    new = table("diamonds", "new")
    for folder in ("in/deep", "in/day=1", "in/day=2"):
        Path(folder).mkdir(parents=True)
    write_csv(new.slice(0, 8), tmp_path / "in/a.csv")
    write_csv(new.slice(8, 8), tmp_path / "in/deep/a.csv")
    pq.write_table(new.slice(16, 8), "in/day=1/b.parquet")
    pq.write_table(new.slice(24, 16), "in/day=2/b.parquet")
    pq.write_table(new.slice(0, 0), "in/none.parquet")
    return ["in/a.csv", "in/deep/a.csv", "in/day=1/b.parquet", "in/day=2/b.parquet", "in/none.parquet"]


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def outputs(folder: str) -> dict[str, bytes]:
    """What lies in a directory of outputs, without what is hidden: the markers, and what killed processes leave."""
    found = (path for path in Path(folder).rglob("*") if path.is_file() and not hidden(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_the_outputs_are_those_of_one_process_and_either_engine_resumes_the_others(
    inputs: list[str], run: Run, scheduler: str
) -> None:
    words = ("predict", *inputs, "--model", "m", "--resume", "--output-dir")
    dask = ("--engine", "dask", "--scheduler", scheduler)
    assert run(*words, "local").code == 0
    ended = run(*words, "dask", *dask)
    assert ended.code == 0, ended.err
    assert "predicted 40 rows of 5 files in" in ended.err
    assert outputs("dask") == outputs("local")
    assert len(outputs("dask")) == len(inputs)
    for directory, other in (("dask", ()), ("local", dask)):
        again = run(*words, directory, *other)
        assert "predicted 0 rows of 0 files" in again.err
        assert "5 files skipped, already up to date" in again.err


def test_processes_of_this_machine_are_started_and_ended(inputs: list[str], run: Run) -> None:
    before = {process.pid for process in psutil.process_iter()}
    ended = run(
        "predict", *inputs, "--model", "m", "--output-dir", "dask", "--engine", "dask", "--workers", 1, "--threads", 1
    )
    assert ended.code == 0, ended.err
    run("predict", *inputs, "--model", "m", "--output-dir", "local")
    assert outputs("dask") == outputs("local")
    workers = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert not [process for process in workers if "spawn_main" in " ".join(process.cmdline())]


@pytest.mark.parametrize("own", [None, "glibc.malloc.perturb=0"])
def test_processes_of_this_machine_get_memory_in_large_pages_unless_the_user_asks_otherwise(
    own: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    asked = iter(["GLIBC_TUNABLES"])
    with cluster.connected(Workers(number=1)) as started:
        ((_, found),) = started.done(os.getenv, lambda: next(asked, None))
    assert found == (own or "glibc.malloc.hugetlb=1")


def test_wrong_files_are_left_out_or_end_the_run_as_with_one_process(
    inputs: list[str], run: Run, scheduler: str
) -> None:
    Path("in/bad.csv").write_text("id,carat\n1,2\n")  # of another schema
    Path("in/worse.parquet").write_bytes(b"PAR1 and then nothing")
    words = ("predict", *inputs, "in/bad.csv", "in/worse.parquet", "in/not there.csv", "--model", "m")
    dask = ("--engine", "dask", "--scheduler", scheduler)
    local = run(*words, "--output-dir", "local", "--keep-going", "--failures", "local.jsonl")
    ended = run(*words, "--output-dir", "dask", "--keep-going", "--failures", "dask.jsonl", *dask)
    assert (local.code, ended.code) == (PARTIAL, PARTIAL)
    here = f"{Path.cwd()}/"
    assert Path("dask.jsonl").read_text().replace(here, "") == Path("local.jsonl").read_text().replace("local", "dask")
    assert outputs("dask") == outputs("local")
    stopped = run("predict", "in/bad.csv", *inputs, "--model", "m", "--output-dir", "stopped", *dask)
    assert stopped.code == DATA
    assert "bad.csv lacks the columns" in stopped.err
    assert "files are done, and stay: --resume does the others" in stopped.err


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch, inputs: list[str]) -> str:
    """A Parquet file of 40 rows in row groups of 3, which is cut although it is small."""
    monkeypatch.setattr(cutting, "_LEAST_BYTES", 0)
    pq.write_table(table("diamonds", "new"), "cut.parquet", row_group_size=3)
    return "cut.parquet"


def predicted_in_parts(scheduler: str, options: PredictOptions, files: FilesOptions, path: str = "cut.parquet") -> Any:
    return predict_files(Input((path,)), Path("m"), options, files, Workers(scheduler, rows=7))


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "arrow"])
def test_a_large_file_is_cut_and_its_output_is_that_of_one_process(
    cut: str, run: Run, scheduler: str, ending: str
) -> None:
    form = sources.Format(ending)
    run("predict", cut, "--model", "m", "--output-dir", "local", "--output-format", ending, "--support")
    options = PredictOptions(format=form, score=ScoreOptions(with_support=True))
    done = predicted_in_parts(scheduler, options, FilesOptions(Path("dask")))
    assert (done.n_rows, done.n_files) == (40, 1)
    local, dask = (
        [rows.table for rows in tables.read(sources.resolve([f"{folder}/cut.{ending}"]))]
        for folder in ("local", "dask")
    )
    assert pa.concat_tables(dask).equals(pa.concat_tables(local))
    assert sorted(path.name for path in Path("dask/.resmem").iterdir()) == [f"cut.{ending}.json"]  # and no parts


def test_parts_cover_a_file_and_begin_where_the_one_before_ends(cut: str) -> None:
    job = Plan.of(Input((cut,)), Path("m"), PredictOptions(), FilesOptions(Path("out"))).jobs[0]
    finished = Finished(Path("out"), "a model", {})
    parts = predict_tasks.parts_of(job, finished, 7)
    assert [part.row_groups for part in parts] == [(0, 3), (3, 6), (6, 9), (9, 14)]  # 9, 9, 9 and 13 rows
    assert predict_tasks.parts_of(job, finished, 21) == ()  # 40 rows are fewer than twice as many


def test_a_wrong_value_in_a_part_is_named_by_its_row_in_the_file(cut: str, run: Run, scheduler: str) -> None:
    rows = table("diamonds", "new")
    carat = rows["carat"].to_pylist()
    carat[31] = float("inf")
    wrong = rows.set_column(rows.column_names.index("carat"), "carat", pa.array([str(each) for each in carat]))
    pq.write_table(wrong, cut, row_group_size=3)
    local = run("predict", cut, "--model", "m", "--output-dir", "local", "--keep-going")
    done = predicted_in_parts(scheduler, PredictOptions(), FilesOptions(Path("dask"), keep_going=True))
    assert len(done.failures) == 1
    assert "row 32" in done.failures[0].error.message
    assert done.failures[0].error.message.replace(f"{Path.cwd()}/", "") in local.err
    assert not Path("dask/cut.parquet").exists()


def parts_of(cut: str, directory: Path) -> tuple[Work, tuple[Part, ...]]:
    """The parts of a file, and what a worker has to know to do them."""
    plan = Plan.of(Input((cut,)), Path("m"), PredictOptions(), FilesOptions(directory)).absolute()
    run = plan.begin(model_of(*reading.identity(Path("m"))), silent)
    return Work.of(run, Path("m").absolute(), 1), predict_tasks.parts_of(run.todo[0], run.finished, 7)


def test_parts_that_were_finished_before_the_command_was_killed_are_not_done_again(
    cut: str, run: Run, scheduler: str
) -> None:
    work, parts = parts_of(cut, Path("dask"))
    for part in parts[:2]:
        done = predict_tasks.do(work, part).done
        assert isinstance(done, Tally)
        assert done.n_rows == 9
    done = predicted_in_parts(scheduler, PredictOptions(), FilesOptions(Path("dask"), resume=True))
    assert done.n_rows == 40 - 18
    run("predict", cut, "--model", "m", "--output-dir", "local")
    assert pq.read_table("dask/cut.parquet").equals(pq.read_table("local/cut.parquet"))
    for part in parts:  # all are there, but were not joined
        predict_tasks.do(work, part)
    Path("dask/cut.parquet").unlink()
    assert predicted_in_parts(scheduler, PredictOptions(), FilesOptions(Path("dask"), resume=True)).n_rows == 0
    assert pq.read_table("dask/cut.parquet").equals(pq.read_table("local/cut.parquet"))


def test_a_file_that_changes_or_goes_between_two_of_its_parts_is_not_mixed(cut: str) -> None:
    work, parts = parts_of(cut, Path("dask"))
    predict_tasks.do(work, parts[0])
    pq.write_table(table("diamonds", "new").slice(0, 39), cut, row_group_size=3)
    outcome = predict_tasks.do(work, parts[1]).done
    assert isinstance(outcome, Failure)
    assert outcome.error.message == f"'{Path.cwd()}/cut.parquet' was changed while it was predicted"
    Path(cut).unlink()
    outcome = predict_tasks.do(work, parts[2]).done
    assert isinstance(outcome, Failure)
    assert outcome.error.message == f"the file {Path.cwd()}/cut.parquet is not there any more"


def test_a_worker_that_finds_another_model_says_so(cut: str, run: Run) -> None:
    work, parts = parts_of(cut, Path("dask"))
    run("forget", "--ids", "d00003", "--model", "m", "--quiet")
    with pytest.raises(EngineError, match=r"a worker finds another model in '.*/m' than this command does"):
        predict_tasks.do(work, parts[0])


def test_a_worker_of_another_resmem_does_nothing(
    inputs: list[str], run: Run, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "__version__", "0.0.1")  # the workers are other processes
    ended = run("predict", *inputs, "--model", "m", "--output-dir", "out", "--engine", "dask", "--scheduler", scheduler)
    assert ended.code == UNEXPECTED
    assert "a worker has resmem " in ended.err
    assert ", and is to work for resmem 0.0.1; give the workers the environment of the machine" in ended.err
    assert outputs("out") == {}


def test_workers_with_other_libraries_are_refused(
    inputs: list[str], run: Run, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_own_versions", lambda: {"Python": "3.11", "numpy": "0.1"})
    ended = run("predict", *inputs, "--model", "m", "--output-dir", "out", "--engine", "dask", "--scheduler", scheduler)
    assert ended.code == UNEXPECTED
    assert f"of '{scheduler}' has numpy " in ended.err
    assert "and this is numpy 0.1; give the workers the environment of this machine" in ended.err
    assert not Path("out").exists()


def test_a_scheduler_that_is_not_there_or_has_no_workers_is_told_in_a_sentence(
    inputs: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_SECONDS", 1)
    words = ("predict", *inputs, "--model", "m", "--output-dir", "out", "--engine", "dask", "--scheduler")
    ended = run(*words, "tcp://127.0.0.1:9")
    assert ended.code == UNEXPECTED
    assert ended.err.endswith(
        "resmem: no Dask scheduler answers at 'tcp://127.0.0.1:9'; check that it runs: dask scheduler; and name its "
        "address\n"
    )
    ended = run(*words, "no address at all")
    assert (ended.code, "no Dask scheduler answers at 'no address at all'" in ended.err) == (UNEXPECTED, True)
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0", silence_logs=50) as idle:
        ended = run(*words, idle.scheduler_address)
    assert ended.code == UNEXPECTED
    assert f"the Dask scheduler at '{idle.scheduler_address}' has no workers; start some: dask worker" in ended.err


def test_without_dask_a_sentence_says_how_to_install_it(
    inputs: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    ended = run("predict", *inputs, "--model", "m", "--output-dir", "out", "--engine", "dask")
    assert ended.code == UNEXPECTED
    assert ended.err.endswith(
        "resmem: Dask is not installed, which --engine dask needs; install it: pip install 'resmem-cli[dask]'\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "dask"), "Invalid value for '--engine dask': it needs --output-dir"),
        (("--workers", "2", "--output-dir", "o"), "Invalid value for '--workers': it needs --engine dask"),
        (("--scheduler", "a", "--output-dir", "o"), "Invalid value for '--scheduler': it needs --engine dask"),
        (
            ("--engine", "dask", "--scheduler", "a", "--workers", "2", "--output-dir", "o"),
            "Invalid value for '--workers': --scheduler and --workers exclude each other",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(run: Run, words: tuple[str, ...], said: str) -> None:
    ended = run("predict", "a.csv", "--model", "m", *words)
    assert (ended.code, said in ended.err) == (USAGE, True)


def test_a_file_that_costs_several_workers_their_life_is_one_that_cannot_be_predicted() -> None:
    class Future:
        def result(self) -> None:
            worker = WorkerState.__new__(WorkerState)
            worker.address = "tcp://10.0.0.7:1234"
            raise KilledWorker("a task", worker, 3)

    error = cluster._result(Future(), "'big.parquet'")
    assert str(error) == (
        "'big.parquet' cost 4 workers their life, at last tcp://10.0.0.7:1234; give each worker more memory: start "
        "fewer of them, or with a larger limit"
    )


def test_killed_workers_and_a_killed_command_lose_nothing_and_write_nothing_twice(
    model: Callable[..., Path], run: Run
) -> None:
    model()
    Path("in").mkdir()
    new = table("diamonds", "new")
    for i in range(20):
        pq.write_table(pa.concat_tables([new] * 50), f"in/{i:02}.parquet")
    words = [str(PROGRAM), "predict", "in", "--model", "m", "--output-dir", "dask", "--resume"]
    words += ["--engine", "dask", "--workers", "2"]
    command = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    kill_one_worker(command)
    time.sleep(1)
    command.kill()
    command.communicate()
    n_done = len(outputs("dask")) if Path("dask").exists() else 0
    before = {path: path.stat().st_mtime_ns for path in Path("dask").glob("*.parquet")}
    marked = {Path("dask") / path.stem for path in Path("dask/.resmem").glob("*.json")}
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert run("predict", "in", "--model", "m", "--output-dir", "local").code == 0
    assert outputs("dask") == outputs("local")
    assert len(before) == n_done
    assert all(path.stat().st_mtime_ns == before[path] for path in marked)  # what was finished stayed


def test_a_scheduler_that_goes_meanwhile_is_told_in_a_sentence(model: Callable[..., Path]) -> None:
    model()
    Path("in").mkdir()
    for i in range(40):
        pq.write_table(pa.concat_tables([table("diamonds", "new")] * 50), f"in/{i:02}.parquet")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", address.rpartition(":")[2]]
    scheduler = subprocess.Popen([*dask, "--host", "127.0.0.1", "--no-dashboard"], **quiet)
    worker = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"], **quiet)
    words = [str(PROGRAM), "predict", "in", "--model", "m", "--output-dir", "dask"]
    words += ["--engine", "dask", "--scheduler", address]
    command = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not list(Path("dask").glob("*.parquet")) and time.monotonic() < end:
            time.sleep(0.02)
        scheduler.kill()
        _, said = command.communicate(timeout=60)
    finally:
        for process in (scheduler, worker, command):
            process.kill()
            process.wait()
    assert command.returncode == UNEXPECTED
    assert said.splitlines()[-1] == (
        "resmem: the Dask scheduler has gone; what was finished stays: start it again, and run this again with --resume"
    )
    assert "Traceback" not in said


def kill_one_worker(command: subprocess.Popen[str]) -> None:
    """Kill a worker process of a command when the first outputs are there."""
    end = time.monotonic() + 60
    while not list(Path("dask").glob("*.parquet")):
        assert time.monotonic() < end
        assert command.poll() is None
        time.sleep(0.05)
    workers = [
        process
        for process in psutil.Process(command.pid).children(recursive=True)
        if "spawn_main" in " ".join(process.cmdline())
    ]
    assert workers
    os.kill(workers[0].pid, signal.SIGKILL)


def test_nothing_is_left_running_when_the_command_is_killed(inputs: list[str]) -> None:
    shutil.copy("in/a.csv", "b.csv")
    words = [
        str(PROGRAM),
        "predict",
        *inputs,
        "--model",
        "m",
        "--output-dir",
        "o",
        "--engine",
        "dask",
        "--workers",
        "2",
    ]
    command = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    end = time.monotonic() + 60
    while (
        len(children) < 3 and time.monotonic() < end and command.poll() is None
    ):  # the resource tracker and two workers
        children = psutil.Process(command.pid).children(recursive=True)
        time.sleep(0.05)
    command.kill()
    command.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert children
    assert not alive


def evaluated(run: Run, *words: object) -> dict[str, Any]:
    ended = run("evaluate", *words, "--model", "m", "--json", "--quiet")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def without_metrics(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != "metrics"}


def test_evaluate_says_what_one_process_says_however_files_are_cut(
    model: Callable[..., Path], run: Run, scheduler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model()
    test = table("diamonds", "test")
    pq.write_table(test.slice(0, 60), "cut.parquet", row_group_size=7)
    pq.write_table(test.slice(0, 0), "none.parquet")
    write_csv(test.slice(60, 20), tmp_path / "rest.csv")
    files = ("cut.parquet", "none.parquet", "rest.csv")
    local = evaluated(run, *files)
    monkeypatch.setattr(cutting, "_LEAST_BYTES", 0)
    for rows, together in ((8, 0), (25, 0), (500_000, 8 << 20)):
        monkeypatch.setattr(Workers, "rows", rows)
        monkeypatch.setattr(evaluate_on_dask, "_LEAST_BYTES", together)
        monkeypatch.setattr(engine, "workers_of", lambda *_, rows=rows: Workers(scheduler, rows=rows))
        dask = evaluated(run, *files, "--engine", "dask", "--scheduler", scheduler)
        assert without_metrics(dask) == without_metrics(local)
        for name, compared in local["metrics"].items():
            for key, value in compared.items():
                assert dask["metrics"][name][key] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, key)


def test_evaluate_on_workers_refuses_slices_and_standard_input(inputs: list[str], run: Run, scheduler: str) -> None:
    dask = ("--engine", "dask", "--scheduler", scheduler)
    ended = run("evaluate", "in/a.csv", "--model", "m", "--by", "carat", *dask)
    assert ended.code == USAGE
    assert "Invalid value for '--by': slices need all rows in one process: leave out --engine dask" in ended.err
    ended = run("evaluate", "-", "--model", "m", *dask)
    assert ended.code == USAGE
    assert ended.err.endswith(
        "the workers of --engine dask cannot read standard input: it can be read only here; name files\n"
    )


def test_evaluate_on_workers_refuses_totals_that_none_of_them_sees(inputs: list[str], run: Run, scheduler: str) -> None:
    ended = run("evaluate", "in/a.csv", "--model", "m", "--drop-totals", "--engine", "dask", "--scheduler", scheduler)
    assert ended.code == USAGE
    assert (
        "--drop-totals looks at the end of the whole input, which no worker reads; leave out --engine dask" in ended.err
    )


def test_evaluate_without_any_labelled_row_is_the_error_of_one_process(
    inputs: list[str], run: Run, scheduler: str
) -> None:
    local = run("evaluate", "in/none.parquet", "--model", "m")
    ended = run("evaluate", "in/none.parquet", "--model", "m", "--engine", "dask", "--scheduler", scheduler)
    assert (local.code, ended.code) == (DATA, DATA)
    assert ended.err.splitlines()[-1].startswith("resmem: ")


def test_workers_read_and_write_objects_and_fetch_the_model_themselves(
    inputs: list[str], run: Run, bucket: Bucket
) -> None:
    bucket.put("m", Path("m"))
    for name in inputs:
        bucket.put(name, Path(name))
    words = ("--engine", "dask", "--workers", 1, "--resume")
    predict = ("predict", bucket.uri("in/*.csv"), bucket.uri("in/day=*"), "--model", bucket.uri("m"))
    ended = run(*predict, "--output-dir", bucket.uri("out"), *words)
    assert ended.code == 0, ended.err
    assert "predicted 32 rows of 3 files in" in ended.err
    run("predict", "in/*.csv", "in/day=*", "--model", "m", "--output-dir", "local")
    for name, content in outputs("local").items():
        assert bucket.get(f"out/{name}") == content
    assert "3 files skipped, already up to date" in run(*predict, "--output-dir", bucket.uri("out"), *words).err


def test_parts_of_another_command_and_joins_that_were_cut_short_mix_nothing(cut: str, run: Run) -> None:
    work, parts = parts_of(cut, Path("dask"))
    assert {part.folder for part in parts}.isdisjoint(
        part.folder
        for part in predict_tasks.parts_of(parts[0].job, replace(work.finished, options={"keep": "none"}), 7)
    )
    for part in parts:
        predict_tasks.do(work, part)
    parts[1].output.write_bytes(parts[0].output.read_bytes())  # as another command would leave it
    outcome = predict_tasks.do(work, Join(parts)).done
    assert isinstance(outcome, Failure)
    assert outcome.error.message.endswith("(row groups 3 to 5) was changed or removed before it was joined")
    assert not Path("dask/cut.parquet").exists()
    predict_tasks.do(work, parts[1])
    assert isinstance(predict_tasks.do(work, Join(parts)).done, Tally)
    written = Path("dask/cut.parquet").stat().st_mtime_ns
    again = predict_tasks.do(work, Join(parts))  # a worker died before it could say that this was done
    assert isinstance(again.done, Tally)
    assert Path("dask/cut.parquet").stat().st_mtime_ns == written


def test_an_output_that_this_machine_does_not_see_is_an_error(
    inputs: list[str], run: Run, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_on_dask, "_SECONDS", 0)
    monkeypatch.setattr(predict_on_dask, "_is_seen", lambda *_: False)
    words = ("--engine", "dask", "--scheduler", scheduler)
    ended = run("predict", "in/a.csv", "--model", "m", "--output-dir", "out", *words)
    assert ended.code == UNEXPECTED
    assert ended.err.endswith(
        f"a worker has written '{Path.cwd()}/out/a.csv', which this machine does not see; name a directory that all "
        "machines share\n"
    )


def test_a_base_that_is_wrong_in_several_threads_is_used_by_one() -> None:
    with loaded_once.one_at_a_time(is_needed=True):
        assert loaded_once._lock.locked()
    with loaded_once.one_at_a_time(is_needed=False):
        assert not loaded_once._lock.locked()


def test_a_scheduler_of_tls_needs_certificates(inputs: list[str], run: Run) -> None:
    words = ("--engine", "dask", "--scheduler", "tls://127.0.0.1:9")
    ended = run("predict", "in/a.csv", "--model", "m", "--output-dir", "out", *words)
    assert ended.code == UNEXPECTED
    assert ended.err.endswith("name the certificates in Dask's configuration\n")
