"""What is said of outliers is what the table holds, the worst first, and of few."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.outputs.tables import output_table
from bids_qmri.reports import group_outliers
from bids_qmri.reports.group_flags import find_outliers
from bids_qmri.reports.group_metrics import shown_metrics
from bids_qmri.reports.group_outliers import Told, outliers_in_words
from bids_qmri.reports.group_table import ENTITIES, GroupTable

USUAL = np.linspace(1.2, 1.4, 21)


def table(metrics: dict[str, list[float]], **labels: list[str]) -> GroupTable:
    count = len(next(iter(metrics.values())))
    names = [f"sub-{row:02d}" for row in range(count)]
    texts = {"participant_id": names, **{key: ["n/a"] * count for key in ENTITIES}}
    texts |= {"estimator": ["lsq"] * count, "region": ["mask"] * count} | labels
    values = {name: np.array(column) for name, column in metrics.items()}
    groups = list(zip(texts["estimator"], texts["region"], strict=True))
    pages = [f"{name}.html" for name in texts["participant_id"]]
    return GroupTable(output_table("vfa"), texts, pages, values, find_outliers(values, groups, ["t1", "m0"]))


def told(group: GroupTable) -> tuple[list[Told], int]:
    return outliers_in_words(group, shown_metrics(group))


def text_of(one: Told) -> list[str]:
    return [line.told(one.name) for line in one.sentences]


def test_a_sentence_says_value_distance_side_median_and_that_the_residual_is_usual() -> None:
    values = [*USUAL, 1.92]
    [one], more = told(table({"t1_median": values, "rmse_median": [*USUAL, 1.3]}))
    middle = np.median(values)
    sd = 1.4826 * np.median(np.abs(values - middle))
    assert (one.name, one.href, one.more, more) == ("sub-21", "sub-21.html", 0, 0)
    assert text_of(one) == [
        f"T1 median 1.92 s is {(1.92 - middle) / sd:.1f} robust standard deviations above the study's median "
        f"{middle:.4g} s (lsq, whole mask); the fit's residual is usual."
    ]


def test_a_residual_that_is_out_too_is_said_and_so_are_few_voxels() -> None:
    metrics = {
        "t1_median": [*USUAL, 0.3],
        "rmse_median": [*USUAL, 9.0],
        "t1_determined": [*[1.0] * 21, 0.04],
    }
    [one], _ = told(table(metrics))
    sentence = next(line for line in text_of(one) if line.startswith("T1"))
    assert "below the study's median" in sentence
    assert "the fit's residual is" in sentence
    assert "above, too; the data determine it in 4 % of the voxels." in sentence


def test_the_furthest_participant_comes_first_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_outliers, "MOST_PEOPLE", 2)
    people, more = told(table({"t1_median": [3.0, *USUAL, 5.0, 4.0]}))
    assert [one.name for one in people] == ["sub-22", "sub-23"]
    assert more == 1


def test_a_metric_is_told_once_with_the_places_in_which_it_is_unusual() -> None:
    names = [f"sub-{row:02d}" for row in range(22)] * 2
    estimators = ["lsq"] * 22 + ["mle"] * 22
    group = table({"t1_median": [*USUAL, 1.92, *USUAL, 2.5]}, participant_id=names, estimator=estimators)
    [one], _ = told(group)
    [sentence] = text_of(one)
    assert "(mle, whole mask; also lsq, whole mask)" in sentence


def test_the_worst_metrics_are_told_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_outliers, "MOST_SENTENCES", 1)
    [one], _ = told(table({"t1_median": [*USUAL, 2.0], "m0_median": [*USUAL, 9.0]}))
    assert [line.split(" median")[0] for line in text_of(one)] == ["M0"]
    assert one.more == 1


def test_of_several_acquisitions_it_says_which() -> None:
    [one], _ = told(table({"t1_median": [*USUAL, 1.92]}, ses=["a"] * 21 + ["b"]))
    assert text_of(one)[0].startswith("ses-b: T1 median")


def test_where_nothing_is_unusual_nothing_is_said() -> None:
    assert told(table({"t1_median": [*USUAL]})) == ([], 0)
