"""Gains by slice: values by their definition, intervals and findings against simulation."""

from __future__ import annotations

import time

import numpy as np
import pytest

from resmem_cli.model import metrics
from resmem_cli.model.comparison import compare
from resmem_cli.model.slices import Finding, gains

OBJECTIVES = ["rmse", "mae", "log_loss", "accuracy"]


def rows(objective, n=600, seed=0):
    """Targets, predictions of a base and of a memory that is somewhat better, weights."""
    rng = np.random.default_rng(seed)
    if metrics.METRICS[objective].is_regression:
        y = rng.normal(size=n)
        base, resmem = ((y + spread * rng.normal(size=n))[:, None] for spread in (1, 0.8))
    else:
        y = rng.integers(0, 3, n).astype(np.float64)
        base = rng.dirichlet(np.ones(3), n)
        resmem = 0.9 * base + 0.1 * np.eye(3)[y.astype(int)]
    return y, base, resmem, rng.uniform(0.2, 3, n)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_figures_of_a_slice_are_those_of_its_rows_alone(objective, weighted):
    y, base, resmem, weight = rows(objective)
    codes = np.random.default_rng(1).integers(0, 4, len(y))
    own = weight if weighted else None
    (found,) = gains(y, base, resmem, own, objective=objective, slicings=[codes])
    for code, each in enumerate(found):
        alone, rest = (
            compare(y[which], base[which], resmem[which], None if own is None else own[which], 0, n_resamples=0)[
                objective
            ]
            for which in (codes == code, codes != code)
        )
        assert each.n_rows == (codes == code).sum()
        assert (each.base, each.resmem, each.gain) == pytest.approx((alone.base, alone.resmem, alone.gain))
        assert (each.gain_percent, each.rest_percent) == pytest.approx((alone.gain_percent, rest.gain_percent))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_contributions_of_slices_sum_up_to_what_all_rows_gain(objective):
    y, base, resmem, weight = rows(objective)
    codes = np.random.default_rng(1).integers(0, 4, len(y))
    (found,) = gains(y, base, resmem, weight, objective=objective, slicings=[codes])
    losses = [np.average(metrics.row_loss(y, each, objective), weights=weight) for each in (base, resmem)]
    assert sum(each.contribution for each in found) == pytest.approx(losses[0] - losses[1])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_ends_of_an_interval_are_where_a_t_test_ends(objective):
    """Scipy's t-test of e - r d about 0, uncentred as the module says, rejects just beyond the ends and not within."""
    from scipy import stats

    y, base, resmem, _ = rows(objective, 200)
    ((found, *_),) = gains(y, base, resmem, None, objective=objective, slicings=[np.zeros(200, dtype=np.int64)])
    before, after = (metrics.row_loss(y, each, objective) for each in (base, resmem))
    d = 1 - before if objective == "accuracy" else before
    assert found.interval[0] < found.gain_percent < found.interval[1]
    for end in found.interval:
        ratio = 1 - (1 - end / 100) ** 2 if objective == "rmse" else end / 100
        assert stats.ttest_1samp(before - after - ratio * d, 0).pvalue == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_large_slice_has_the_interval_of_the_bootstrap(objective):
    y, base, resmem, weight = rows(objective, 4_000)
    ((found,),) = gains(y, base, resmem, weight, objective=objective, slicings=[np.zeros(len(y), dtype=np.int64)])
    low, high = compare(y, base, resmem, weight, 0)[objective].ci95
    np.testing.assert_allclose(found.interval, (low, high), atol=0.1 * (high - low))


def test_groups_of_one_row_are_rows():
    y, base, resmem, weight = rows("rmse")
    codes = np.random.default_rng(1).integers(0, 4, len(y))
    order = np.random.default_rng(2).permutation(len(y))
    plain, grouped = (
        gains(y, base, resmem, weight, objective="rmse", slicings=[codes], groups=each) for each in (None, order)
    )
    for one, other in zip(plain[0], grouped[0], strict=True):
        assert one.interval == pytest.approx(other.interval)
        assert one.finding == other.finding


def test_repeated_rows_are_no_evidence_if_they_are_a_group():
    y, base, resmem, weight = rows("mae", 80)
    codes = np.arange(80) // 40
    once = gains(y, base, resmem, weight, objective="mae", slicings=[codes])
    again = [np.repeat(each, 25, axis=0) for each in (y, base, resmem, weight, codes, np.arange(80))]
    *repeated, codes, groups = again
    together = gains(*repeated, objective="mae", slicings=[codes], groups=groups)
    apart = gains(*repeated, objective="mae", slicings=[codes])
    for one, other, naive in zip(once[0], together[0], apart[0], strict=True):
        assert one.interval == pytest.approx(other.interval)
        assert np.ptp(naive.interval) < 0.5 * np.ptp(one.interval)


def test_a_slice_of_few_rows_is_not_judged():
    y, base, *_ = rows("mae", 229)
    codes = np.r_[np.zeros(29), np.ones(200)].astype(np.int64)
    few, many = gains(y, base, base + 9, None, objective="mae", slicings=[codes])[0]
    assert (few.is_judged, many.is_judged) == (False, True)
    assert np.isnan(few.interval).all()
    assert few.finding is None
    assert many.finding is Finding.HARMS
    assert (
        many.interval
        == gains(y, base, base + 9, None, objective="mae", slicings=[codes * 0 + (codes == 0)])[0][0].interval
    )


def test_a_perfect_base_and_a_memory_that_does_nothing_have_no_findings():
    y, base, resmem, _ = rows("rmse", 300)
    codes = np.arange(300) % 3
    for each in gains(y, base, base, None, objective="rmse", slicings=[codes])[0]:
        assert (each.gain_percent, each.interval, each.finding) == (0, (0, 0), None)
    for each in gains(y, y[:, None], resmem, None, objective="rmse", slicings=[codes])[0]:
        assert np.isnan([each.gain_percent, *each.interval]).all()
        assert each.finding is None
    for each in gains(y, base, (y[:, None] + base) / 2, None, objective="rmse", slicings=[codes])[0]:
        assert (each.gain_percent, *each.interval) == pytest.approx((50, 50, 50))
        assert each.finding is None


def test_harm_may_be_certain_where_its_size_is_not():
    """One row has nearly all of the loss: how large the loss is, is not certain, but what the memory does to it is."""
    d = np.r_[np.full(99, 1.0), 500.0]
    y, base = np.zeros(100), d[:, None]
    (harmed,) = gains(y, base, base + 3, None, objective="mae", slicings=[np.zeros(100, dtype=np.int64)])[0]
    assert np.isnan(harmed.interval).all()
    assert harmed.finding is Finding.HARMS
    e = np.r_[np.full(100, 0.5), -80.0]  # of which one row decides the sum
    (unclear,) = gains(np.zeros(101), np.full((101, 1), 100.0), (100 - e)[:, None], None, objective="mae",
                       slicings=[np.zeros(101, dtype=np.int64)])[0]  # fmt: skip
    assert unclear.finding is None


def test_what_differs_from_the_rest_is_found_in_either_direction():
    rng = np.random.default_rng(0)
    codes = np.arange(2_000) % 8
    base = np.abs(rng.normal(size=2_000)) + 1
    factor = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 1.2, 0.1])[codes]
    (found,) = gains(np.zeros(2_000), base[:, None], (base * factor + 0.1 * rng.normal(size=2_000))[:, None], None,
                     objective="mae", slicings=[codes])  # fmt: skip
    expected = [None] * 5 + [Finding.WORSE, Finding.HARMS, Finding.BETTER]
    assert [each.finding for each in found[5:]] == expected[5:]


# Against simulation

TAILS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_t(4, size=n),
    "lognormal": lambda rng, n: np.exp(rng.normal(size=n)) * rng.choice([-1, 1], n),
}


@pytest.mark.parametrize("objective", ["rmse", "mae"])
@pytest.mark.parametrize("tails", list(TAILS))
def test_noise_slices_are_found_no_more_often_than_stated(tails, objective):
    """Sixty slices, half of them small; the memory gains alike in all: anything found is a false alarm."""
    rng = np.random.default_rng(0)
    sizes = 1 / np.arange(1, 61) ** 0.7
    n_tables, n_alarms, n_wrong = 150, 0, 0
    truth = _true_gain(tails, objective)
    for _ in range(n_tables):
        one, other = TAILS[tails](rng, 3_000), TAILS[tails](rng, 3_000)
        codes = np.unique(rng.choice(60, 3_000, p=sizes / sizes.sum()), return_inverse=True)[1]
        (found,) = gains(
            np.zeros(3_000),
            one[:, None],
            (0.7 * one + 0.3 * other)[:, None],
            None,
            objective=objective,
            slicings=[codes],
        )
        n_alarms += any(each.finding for each in found)
        n_wrong += any(each.interval[0] > truth or each.interval[1] < truth for each in found)
    # Of 150 tables 5 % are 7.5, and 14 or more have a probability of 2 %.
    assert n_alarms <= 14
    assert n_wrong <= 14


@pytest.mark.parametrize("inside", [True, False], ids=["groups in one slice", "groups in every slice"])
def test_groups_that_share_their_errors_are_no_findings(inside):
    """Two hundred groups of ten rows; how much a group gains is its own, and has nothing to do with slices."""
    rng = np.random.default_rng(0)
    groups, n_tables = np.repeat(np.arange(200), 10), 150
    n_alarms, n_naive = 0, 0
    for _ in range(n_tables):
        codes = np.repeat(rng.permutation(200) % 5, 10) if inside else rng.integers(0, 5, 2_000)
        base = 2 + 0.1 * rng.normal(size=2_000)
        resmem = base - 0.2 - 0.4 * rng.normal(size=200)[groups]
        words = (np.zeros(2_000), base[:, None], resmem[:, None], None)
        for given in (None, groups):
            (found,) = gains(*words, objective="mae", slicings=[codes], groups=given)
            alarm = any(each.finding in (Finding.WORSE, Finding.BETTER) for each in found)
            n_naive, n_alarms = n_naive + (alarm and given is None), n_alarms + (alarm and given is not None)
    assert n_alarms <= 10  # of 150 tables 2.5 % are 3.75
    assert n_naive > 75 if inside else n_naive <= 10


def _true_gain(tails, objective):
    rng = np.random.default_rng(1)
    one, other = TAILS[tails](rng, 3_000_000), TAILS[tails](rng, 3_000_000)
    errors = (one, 0.7 * one + 0.3 * other)
    base, resmem = (np.mean(metrics.row_loss(np.zeros(3_000_000), each[:, None], objective)) for each in errors)
    return 100 * (1 - metrics.as_metric(objective, resmem) / metrics.as_metric(objective, base))


@pytest.mark.parametrize("objective", ["rmse", "accuracy"])
def test_one_interval_covers_the_true_gain_as_often_as_it_says(objective):
    rng = np.random.default_rng(0)
    n_covered, n_tables = 0, 600
    for _ in range(n_tables):
        if objective == "rmse":
            shared = rng.normal(size=(2, 60))
            y, base, truth = np.zeros(60), shared[0], 10
            predictions = base[:, None], 0.9 * (0.8 * shared[0] + 0.6 * shared[1])[:, None]
        else:  # the base is right in 60 % of the rows, the memory in 75 %
            y, truth = np.zeros(60), 25
            right = [rng.uniform(size=60) < share for share in (0.6, 0.75)]
            predictions = [np.where(each[:, None], [0.8, 0.2], [0.2, 0.8]) for each in right]
        ((found,),) = gains(y, *predictions, None, objective=objective, slicings=[np.zeros(60, dtype=np.int64)])
        n_covered += found.interval[0] <= truth <= found.interval[1]
    assert 0.93 * n_tables <= n_covered <= 0.97 * n_tables


def test_a_million_rows_of_ten_columns_take_seconds():
    rng = np.random.default_rng(0)
    y = rng.normal(size=1_000_000)
    base, resmem = (y + rng.normal(size=(2, len(y))))[:, :, None]
    slicings = [rng.integers(0, 12, len(y)) for _ in range(10)]
    started = time.perf_counter()
    found = gains(y, base, resmem, None, objective="rmse", slicings=slicings)
    assert [len(each) for each in found] == [12] * 10
    assert time.perf_counter() - started < 30
