"""What every task must do. Inherit, and give ``task`` as a fixture: a task with tiny networks on images of 32 px."""

from itertools import islice

import torch


class TaskConformance:
    """The fixture gives a task with new weights, made anew for each test."""

    def image(self, count=2):
        return torch.rand((count, 3, 32, 32), generator=torch.Generator().manual_seed(0))

    def tensors(self, batch):
        """Return all images of a batch as one vector."""
        images = getattr(batch, "images", None) or {"image": batch.image, **batch.modalities, "distance": batch.distance}
        return torch.cat([images[name].flatten() for name in sorted(images)])

    def test_one_network_is_the_model_and_each_has_its_optimizer(self, task):
        assert "model" in task.networks
        assert set(task.networks) == set(task.optimizers)

    def test_an_optimizer_moves_all_weights_of_its_network_and_no_others(self, task):
        for name, network in task.networks.items():
            moved = {id(weight) for group in task.optimizers[name].param_groups for weight in group["params"]}
            assert moved == {id(weight) for weight in network.parameters()}, name

    def test_batches_go_on_from_any_step(self, task):
        whole = [self.tensors(batch) for batch in islice(task.batches(0, 0), 3)]
        assert torch.equal(self.tensors(next(task.batches(2, 0))), whole[2])
        assert not torch.equal(whole[1], whole[2])

    def test_processes_see_different_batches(self, task):
        assert not torch.equal(self.tensors(next(task.batches(1, 0))), self.tensors(next(task.batches(1, 1))))

    def test_every_network_learns_once_and_from_its_own_loss_alone(self, task):
        learned = []
        for name, terms in task.steps(task.networks, next(task.batches(0, 0))):
            for network in task.networks.values():
                network.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            reached = [
                other
                for other, network in task.networks.items()
                if any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())
            ]
            assert reached == [name]
            learned.append(name)
        assert sorted(learned) == sorted(task.networks)
        assert learned[-1] == "model"

    def test_terms_are_finite_numbers_with_names_of_their_own(self, task):
        steps = [terms for _, terms in task.steps(task.networks, next(task.batches(0, 0)))]
        names = [name for terms in steps for name in terms]
        assert len(set(names)) == len(names)
        assert all(value.shape == () and torch.isfinite(value) for terms in steps for value in terms.values())

    def test_maps_have_the_size_of_the_image_and_lie_between_0_and_1(self, task):
        with torch.no_grad():
            outputs = task.infer(task.networks["model"].eval())(self.image())
        for name, values in outputs.items():
            assert values.shape[2:] == (32, 32), name
            assert 0 <= values.min() <= values.max() <= 1, name

    def test_what_is_inferred_for_an_image_does_not_depend_on_its_neighbours(self, task):
        infer = task.infer(task.networks["model"].eval())
        with torch.no_grad():
            together, alone = infer(self.image()), infer(self.image()[1:])
        for name, values in alone.items():
            torch.testing.assert_close(together[name][1:], values, atol=1e-4, rtol=0, msg=name)

    def test_the_example_of_a_batch_can_be_inferred(self, task):
        image = task.example(next(task.batches(0, 0)))
        with torch.no_grad():
            assert task.infer(task.networks["model"].eval())(image)

    def test_validation_sets_have_names_and_are_not_empty(self, task):
        assert all(name and samples for name, samples in task.validation().items())
