"""Pools depend on the seed alone; batches hold paths of one length and use every voxel once per pass."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from bids_qmri.training.pool import TRAINING, VALIDATION, FeatureRows, Pool, make_pool
from bids_qmri.training.schedules import Batches

from .small import small_recipe


def numbered(length: int, count: int, first: int) -> FeatureRows:
    """Return rows whose context is a number of their own."""
    path = np.zeros((count, length, 1), np.float32)
    number = np.arange(first, first + count, dtype=np.float32)
    return FeatureRows(path, number[:, None], *(number[:, None],) * 4, number)


@pytest.fixture
def pool() -> Pool:
    return {3: numbered(3, 100, 0), 5: numbered(5, 61, 100)}


def test_every_pass_uses_every_voxel_at_most_once_in_an_order_of_its_own(pool: Pool) -> None:
    batches = Batches(pool, size=20, seed=1)
    assert batches.per_pass == 8
    first, second = (
        np.concatenate([batches(step).context[:, 0] for step in steps]) for steps in (range(8), range(8, 16))
    )
    assert np.unique(first).size == 160 == np.unique(second).size
    assert not np.array_equal(first, second)


def test_batches_follow_from_their_number(pool: Pool) -> None:
    for step in (0, 7, 23):
        once, again = Batches(pool, 20, 1)(step), Batches(pool, 20, 1)(step)
        np.testing.assert_array_equal(once.context, again.context)
        assert once.path.shape[1] == (3 if once.context[0, 0] < 100 else 5)
    assert not np.array_equal(Batches(pool, 20, 1)(0).context, Batches(pool, 20, 2)(0).context)


def test_lengths_with_less_than_a_batch_are_used_whole() -> None:
    batches = Batches({3: numbered(3, 7, 0)}, size=20, seed=1)
    assert (batches.per_pass, len(batches(0))) == (1, 7)


def test_pool_depends_on_seed_and_stream_alone() -> None:
    recipe = small_recipe("ncde-vfa")
    one, same = make_pool(recipe, TRAINING, 4), make_pool(recipe, TRAINING, 4)
    other = make_pool(recipe, VALIDATION, 4)
    assert sum(map(len, one.values())) == 4 * recipe.data.curves
    for length, rows in one.items():
        for item in fields(rows):
            np.testing.assert_array_equal(getattr(rows, item.name), getattr(same[length], item.name))
            assert getattr(rows, item.name).dtype == np.float32
    first, unlike = (next(iter(p.values())).truth[0] for p in (one, other))
    assert not np.array_equal(first, unlike)


def test_processes_share_the_work_and_not_the_result() -> None:
    recipe = small_recipe("ncde-vfa")
    alone, shared = make_pool(recipe, TRAINING, 3), make_pool(recipe, TRAINING, 3, processes=2)
    assert alone.keys() == shared.keys()
    for length, rows in alone.items():
        np.testing.assert_array_equal(rows.context, shared[length].context)


def test_truths_scatter_about_the_anchor_by_its_width() -> None:
    parts = make_pool(small_recipe("ncde-ivim"), TRAINING, 12).values()
    rows = FeatureRows.joined(replace(part, path=part.path[:, :0]) for part in parts)
    within = np.abs(rows.centre - rows.truth) < rows.width
    assert 0.55 < within.mean() < 0.85
