"""What is measured, what is missing, what is new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiling.fleet import plan
from profiling.fleet.cargo import Cargo, Parcel
from profiling.fleet.hosts import Host
from profiling.records import Failure, Results

HOST = Host("bench", "bench", threads=1)


@pytest.fixture
def wanted(measured) -> list[Cargo]:
    """The bundles that were measured."""
    described = [{**vars(record.subject)} for record in measured]
    return [Cargo(Parcel(f"bundles/{each['target']}", {}, {}), each) for each in described]


def _missing(wanted, held, runs=12, host=HOST):
    return [cargo.description["target"] for cargo in plan.missing(host, wanted, runs, held)]


def test_nothing_is_missing_that_has_a_record(wanted, measured):
    assert _missing(wanted, measured) == []
    assert _missing(wanted, measured[:1]) == ["tflite"]
    assert _missing(wanted, []) == ["onnx", "tflite"]
    assert _missing(wanted, measured, runs=4) == []


@pytest.mark.parametrize(
    "host",
    [
        replace(HOST, name="another"),
        replace(HOST, threads=2),
        replace(HOST, threads=None),
        replace(HOST, engine="openvino"),
    ],
)
def test_records_of_something_else_do_not_count(host, wanted, measured):
    assert _missing(wanted, measured, host=host) == ["onnx", "tflite"]


def test_fewer_runs_or_another_bundle_do_not_count(wanted, measured):
    assert _missing(wanted, measured, runs=13) == ["onnx", "tflite"]
    assert _missing(wanted, [replace(measured[0], task={"top1": 0.0}), measured[1]]) == ["onnx"], "an evaluation"
    assert _missing(wanted, [replace(measured[0], bundle_sha256="0" * 64), measured[1]]) == ["onnx"]


def test_an_engine_that_is_asked_for_counts_where_it_measured(wanted, measured):
    assert _missing(wanted, measured, host=replace(HOST, engine="onnxruntime")) == ["tflite"]


def test_the_last_of_several_records_stands(wanted, measured):
    older = replace(measured[0], date="2000-01-01T00:00:00+00:00")
    shorter = replace(measured[0], date="2999-01-01T00:00:00+00:00", runs=1, samples={
        stage: values[:1] for stage, values in measured[0].samples.items()
    })  # fmt: skip
    found = plan.measured(HOST, wanted, 12, [measured[0], older, shorter])
    assert found == {wanted[0].sha256: measured[0]}


def test_only_what_is_new_and_ours_is_taken(wanted, measured):
    first, second = measured
    other = replace(first, device={**first.device, "name": "another"})
    failure = Failure("made up", second.subject, "2000-01-01T00:00:00+00:00")
    fetched = Results([first, second, other], [failure])
    assert plan.fresh(HOST, wanted, fetched, Results([])) == [first, second, failure]
    assert plan.fresh(HOST, wanted, fetched, Results([second], [failure])) == [first]
    assert plan.fresh(HOST, wanted[1:], fetched, Results([])) == [second, failure]


def test_bundles_of_which_nothing_was_heard(wanted, measured):
    failure = Failure("made up", measured[0].subject, "2000-01-01T00:00:00+00:00")
    assert plan.silent(HOST, wanted, [failure]) == wanted[1:]
    assert plan.silent(HOST, wanted[1:], [failure, measured[1]]) == wanted[1:], "it has a record, but not enough runs"
    (made,) = plan.failures(HOST, wanted[1:], "why", "2000-01-01T00:00:00+00:00")
    assert made == Failure("why", measured[1].subject, "2000-01-01T00:00:00+00:00")
