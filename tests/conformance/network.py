"""What every network must do. Inherit, give ``network`` as a fixture, and set what is said below."""

import numpy as np
import onnxruntime
import pytest
import torch

from counterstain.training.exporting.onnx_graph import write_onnx


def flat(outputs):
    """Return the outputs of a network as name -> tensor, whatever form they have."""
    return dict(outputs) if isinstance(outputs, dict) else {"output": outputs}


class _Flat(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return tuple(flat(self.network(image)).values())


class NetworkConformance:
    """The fixture gives a network with random weights, made anew for each test."""

    planes_in = 3
    stride_px = 32
    """Sides of the input are multiples of it; 1 where any side will do."""
    least_px = 32
    """The smallest side."""
    unused: tuple[str, ...] = ()
    """Weights that no output depends on."""

    def image(self, count=1, rows=1, cols=1, seed=0):
        shape = (count, self.planes_in, rows * self.least_px, cols * self.least_px)
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    def expected_shapes(self, rows, cols):
        """Return name -> (planes, h, w) for an input of this many rows and columns."""
        raise NotImplementedError

    def infer(self, network, image):
        with torch.no_grad():
            return flat(network.eval()(image))

    def test_every_output_has_its_shape(self, network):
        image = self.image(2, 1, 2)
        shapes = {name: tuple(value.shape) for name, value in self.infer(network, image).items()}
        expected = self.expected_shapes(*image.shape[2:])
        assert shapes == {name: (2, *shape) for name, shape in expected.items()}

    def test_a_side_that_does_not_fit_is_refused(self, network):
        if self.stride_px > 1:
            with pytest.raises(ValueError, match=f"multiples of {self.stride_px} px, got"):
                network(torch.zeros(1, self.planes_in, self.least_px, self.least_px + 1))
        else:
            with pytest.raises(ValueError, match=f"at least {self.least_px} px"):
                network(torch.zeros(1, self.planes_in, self.least_px, self.least_px - 1))

    def test_the_answer_for_an_image_does_not_depend_on_its_neighbours_in_the_batch(self, network):
        images = self.image(3, 2, 2)
        together, alone = self.infer(network, images), self.infer(network, images[1:2])
        for name, output in alone.items():
            torch.testing.assert_close(together[name][1:2], output, atol=1e-5, rtol=0)

    def test_two_runs_are_identical(self, network):
        image = self.image()
        for first, second in zip(self.infer(network, image).values(), self.infer(network, image).values(), strict=True):
            assert torch.equal(first, second)

    def test_gradient_reaches_every_weight(self, network):
        targets = [(value - 0.3).square().mean() for value in flat(network.train()(self.image(2, 2, 2))).values()]
        torch.stack(targets).sum().backward()
        weights = dict(network.named_parameters())
        without = [name for name, weight in weights.items() if weight.grad is None or not weight.grad.abs().sum() > 0]
        assert [name for name in without if not name.endswith(self.unused or ("?",))] == []

    def test_saved_weights_give_the_same_answer(self, network, tmp_path):
        image = self.image()
        before = self.infer(network, image)
        torch.save(network.state_dict(), tmp_path / "weights.pt")
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.1)
        assert not all(torch.equal(before[name], value) for name, value in self.infer(network, image).items())
        network.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        for name, value in self.infer(network, image).items():
            assert torch.equal(before[name], value)

    def test_onnx_runtime_gives_the_same_numbers_at_any_size(self, network, tmp_path):
        path = tmp_path / "network.onnx"
        names = tuple(self.expected_shapes(64, 64))
        step = max(self.stride_px, self.least_px)
        write_onnx(_Flat(network).eval(), path, names=names, stride_px=step, planes_in=self.planes_in)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for count, rows, cols in ((1, 1, 1), (2, 3, 2)):
            image = self.image(count, rows, cols)
            found = session.run(list(names), {"image": image.numpy()})
            for name, value in zip(names, found, strict=True):
                np.testing.assert_allclose(value, self.infer(network, image)[name], atol=1e-4)
