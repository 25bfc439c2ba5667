"""Jobs in worker processes and on Ray: every job gets an answer, whatever happens to the others."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
from helpers.jobs import copy_job, deadly, write_drive

from vidpred_ros.errors import ConfigError
from vidpred_ros.evaluation.jobs import attempt
from vidpred_ros.evaluation.workers import in_processes, on_ray


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copy_job(write_drive(tmp_path_factory.mktemp("drives") / "drive"))


def test_a_process_that_dies_takes_no_other_job_with_it(copy):
    results = {job.row: result for job, result in in_processes([deadly(copy), copy], 2)}
    assert set(results) == {"deadly", "copy_last"}
    assert "process died" in results["deadly"]["error"]
    assert results["copy_last"]["horizons"] == attempt(copy)["horizons"]
    assert results["copy_last"]["host"]["cores"] == 1


class FakeRay(ModuleType):
    """Ray's documented calls, in this process: a task runs when it is waited for, the newest first."""

    def __init__(self):
        super().__init__("ray")
        self.calls = []

    def init(self, address):
        self.calls.append(("init", address))
        if address == "nowhere:1":
            raise ConnectionError("connection refused")

    def remote(self, **options):
        self.calls.append(("remote", options))

        def decorate(function):
            return SimpleNamespace(remote=lambda *words: (function, words))

        return decorate

    def wait(self, references, num_returns):
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference):
        function, (job, command) = reference
        if job.row == "lost":
            raise RuntimeError("the machine went away")
        return function(job, command)

    def shutdown(self):
        self.calls.append(("shutdown",))


@pytest.fixture
def ray(monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


def test_ray_runs_each_job_as_a_task_of_one_cpu(ray, copy):
    jobs = [copy, replace(copy, row="lost"), replace(copy, row="broken", model="no_such_model")]
    results = [(job.row, result) for job, result in on_ray(jobs, "auto")]
    assert [row for row, _ in results] == ["broken", "lost", "copy_last"]
    assert "no_such_model" in results[0][1]["error"]
    assert "the machine went away" in results[1][1]["error"]
    assert results[2][1]["horizons"] == attempt(copy)["horizons"]
    assert ray.calls == [("init", "auto"), ("remote", {"num_cpus": 1}), ("shutdown",)]


def test_no_cluster_at_the_address(ray, copy):
    with pytest.raises(ConfigError, match="--ray nowhere:1: no Ray cluster answers there .connection refused"):
        list(on_ray([copy], "nowhere:1"))


def test_no_ray(monkeypatch, copy):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="--ray auto needs Ray.* pip install ray"):
        list(on_ray([copy], "auto"))
