import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from counterstain.metrics.agreement import bland_altman, concordance, weighted_kappa


def readings(seed=11, count=40):
    generator = np.random.default_rng(seed)
    first = generator.uniform(0, 100, count)
    return first, 0.9 * first + generator.normal(3, 5, count)


def test_bland_altman_is_the_mean_difference_and_its_spread():
    first, second = readings()
    result = bland_altman(first, second)
    assert result.bias == pytest.approx(np.mean(second - first))
    assert result.limits[1] - result.limits[0] == pytest.approx(2 * 1.959963984540054 * np.std(second - first, ddof=1))
    assert result.count == 40


def test_bland_altman_of_one_reading_has_no_limits():
    result = bland_altman([3.0], [5.0])
    assert result.bias == 2.0
    assert np.isnan(result.limits).all()


def test_concordance_is_pearson_times_the_bias_correction():
    first, second = readings()
    pearson = np.corrcoef(first, second)[0, 1]
    ratio, shift = first.std() / second.std(), (first.mean() - second.mean()) / np.sqrt(first.std() * second.std())
    assert concordance(first, second) == pytest.approx(pearson * 2 / (ratio + 1 / ratio + shift**2))


def test_an_offset_lowers_concordance():
    first, _ = readings()
    assert concordance(first, first) == pytest.approx(1.0)
    assert concordance(first, first + 20) < 0.95
    assert concordance(first, -first + 2 * first.mean()) == pytest.approx(-1.0)
    assert np.isnan(concordance([2.0, 2.0], [2.0, 2.0]))


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(3))
def test_kappa_equals_scikit_learn(weights, seed):
    first = np.random.default_rng(seed).integers(0, 4, 60)
    second = np.clip(first + np.random.default_rng(seed + 100).integers(-1, 2, 60), 0, 3)
    expected = cohen_kappa_score(first, second, labels=range(4), weights=None if weights == "none" else weights)
    assert weighted_kappa(first, second, 4, weights) == pytest.approx(expected)


def test_kappa_of_one_category_is_nan():
    assert np.isnan(weighted_kappa([1, 1], [1, 1], 3))


def test_readings_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="one length"):
        bland_altman([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="one length"):
        concordance([], [])
    with pytest.raises(ValueError, match="categories must lie in"):
        weighted_kappa([0, 3], [0, 1], 3)
