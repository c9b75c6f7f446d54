"""What every ``Backend`` must do. Inherit, and give ``backend`` as a fixture."""

import numpy as np

from counterstain.inference.backend import Backend, check_outputs


class BackendConformance:
    def test_the_outputs_are_the_channels_of_the_panel_in_range(self, backend: Backend):
        batch = _batch(backend, count=2)
        outputs = check_outputs(backend.run(batch), backend.manifest.panel, batch.shape)
        assert set(outputs) == {channel.name for channel in backend.manifest.panel.channels}
        for values in outputs.values():
            assert values.dtype == np.float32
            assert values.min() >= 0
            assert values.max() <= 1

    def test_results_do_not_depend_on_the_batch(self, backend: Backend):
        batch = _batch(backend, count=3)
        together = backend.run(batch)
        for index in range(3):
            for name, values in backend.run(batch[index : index + 1]).items():
                np.testing.assert_allclose(values[0], together[name][index], atol=1e-5)

    def test_two_runs_are_identical(self, backend: Backend):
        batch = _batch(backend, count=1)
        first, second = backend.run(batch), backend.run(batch)
        for name, values in first.items():
            np.testing.assert_array_equal(values, second[name])

    def test_the_batch_is_not_changed(self, backend: Backend):
        batch = _batch(backend, count=1)
        before = batch.copy()
        backend.run(batch)
        np.testing.assert_array_equal(batch, before)

    def test_any_multiple_of_the_stride_is_a_valid_side(self, backend: Backend):
        stride = backend.manifest.stride_px
        batch = np.full((1, 3, 2 * stride, 3 * stride), 0.5, np.float32)
        check_outputs(backend.run(batch), backend.manifest.panel, batch.shape)

    def test_white_and_black_and_one_colour_give_maps(self, backend: Backend):
        side = backend.manifest.stride_px * 8
        for level in (0.0, 0.3, 1.0):
            batch = np.full((1, 3, side, side), level, np.float32)
            check_outputs(backend.run(batch), backend.manifest.panel, batch.shape)

    def test_it_says_what_it_is(self, backend: Backend):
        assert backend.fingerprint
        assert backend.manifest.name


def _batch(backend: Backend, count: int) -> np.ndarray:
    side = 8 * backend.manifest.stride_px
    return np.random.default_rng(0).random((count, 3, side, side), dtype=np.float32)
