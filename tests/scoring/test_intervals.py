"""The interval of a percentage holds what it promises: tried on drawn blocks of nuclei that resemble each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from counterstain.scoring.intervals import clustered, clustered_mean, wilson

PER_BLOCK, CORRELATION = 250, 0.02


def drawn(generator, share, blocks, samples, correlation=CORRELATION, per_block=PER_BLOCK):
    """Return (samples, blocks, 2) int64 of hits and sizes; the share of each block is drawn from a beta distribution."""
    spread = (1 - correlation) / correlation
    shares = generator.beta(share * spread, (1 - share) * spread, (samples, blocks))
    return np.stack([generator.binomial(per_block, shares), np.full(shares.shape, per_block)], axis=2)


def coverage(share, samples):
    ends = np.array([clustered(counts) for counts in samples])
    return np.mean((ends[:, 0] <= share) & (share <= ends[:, 1]))


@pytest.mark.parametrize("share", [0.01, 0.03, 0.2, 0.5])
@pytest.mark.parametrize("blocks", [2, 3, 4, 5, 6, 9, 16, 36, 64, 200])
def test_an_interval_of_95_percent_covers_93_to_97(share, blocks):
    """On 20,000 samples it is 94.8 to 96.8; on 2,500 chance adds up to one."""
    assert 0.93 <= coverage(share, drawn(np.random.default_rng(7), share, blocks, 2500)) <= 0.97


@pytest.mark.parametrize(("correlation", "least"), [(0.001, 0.93), (0.05, 0.88), (0.1, 0.85)])
def test_with_other_correlations_the_interval_is_not_far_off(correlation, least):
    for blocks in (9, 64):
        assert coverage(0.2, drawn(np.random.default_rng(7), 0.2, blocks, 1500, correlation)) >= least


@pytest.mark.parametrize(
    "shares", [(0.97, 0.02, 0.005, 0.005), (0.5, 0.2, 0.2, 0.1), (0.02, 0.08, 0.8, 0.1), (0.05, 0.1, 0.15, 0.7)]
)
@pytest.mark.parametrize("blocks", [4, 16, 200])
def test_the_interval_of_a_mean_intensity_covers_93_to_97(shares, blocks):
    """Shares of the four classes of intensity in a block are drawn around those of all blocks; their mean is an H-score."""
    generator, values, samples = np.random.default_rng(5), np.arange(4) / 3, 1000
    spread = (1 - CORRELATION) / CORRELATION * np.array(shares)
    numbers = generator.multinomial(PER_BLOCK, generator.dirichlet(spread, (samples, blocks)))  # (samples, blocks, 4)
    ends = np.array([clustered_mean(one @ values, one.sum(axis=1), float((one @ values**2).sum())) for one in numbers])
    assert 0.93 <= np.mean((ends[:, 0] <= values @ shares) & (values @ shares <= ends[:, 1])) <= 0.97


def test_values_that_are_all_equal_still_have_an_interval():
    low, high = clustered_mean(np.full(9, 100 / 3), np.full(9, 100), 900 / 9)
    assert low < 1 / 3 - 1e-3 < 1 / 3 + 1e-3 < high


def test_blocks_of_unequal_size_are_covered_too():
    generator = np.random.default_rng(3)
    spread, sizes = (1 - CORRELATION) / CORRELATION, generator.integers(20, 480, (1500, 25))
    hits = generator.binomial(sizes, generator.beta(0.2 * spread, 0.8 * spread, sizes.shape))
    assert 0.93 <= coverage(0.2, np.stack([hits, sizes], axis=2)) <= 0.97


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=2, max_size=30))
def test_the_interval_holds_the_share_and_that_of_wilson_and_turns_round_with_the_classes(pairs):
    counts = np.array([(hits, hits + others) for hits, others in pairs if hits + others])
    if len(counts) < 2:
        return
    low, high = clustered(counts)
    hits, total = counts.sum(axis=0)
    inner = wilson(hits / total, total)
    assert 0 <= low <= inner[0] + 1e-12
    assert inner[1] - 1e-12 <= high <= 1
    turned = clustered(np.column_stack([counts[:, 1] - counts[:, 0], counts[:, 1]]))
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize(("hits", "total"), [(0, 7), (7, 7), (1, 2), (30, 120), (1, 5000)])
def test_wilsons_interval_is_that_of_scipy(hits, total):
    expected = binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson(hits / total, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_more_blocks_make_the_interval_narrower():
    widths = [np.diff(clustered(np.tile([[50, 250], [40, 250], [60, 250]], (times, 1)))).item() for times in (1, 2, 4, 20)]
    assert widths == sorted(widths, reverse=True)
