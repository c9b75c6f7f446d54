"""The PatchGAN discriminator (Isola et al., 2017): a map of scores, one for each overlapping patch of the input.

With four layers, 64 channels and 6 planes it has 6.964 million parameters, and a score sees 142 x 142 pixels.
"""

from torch import Tensor, nn

from counterstain.training.networks.layers import Norm, check_sides, norm_layer

_WIDEST = 8


class PatchDiscriminator(nn.Module):
    """Score how real the patches of an image look.

    Parameters
    ----------
    planes_in : of the condition and the judged image together.
    layers : number of halvings; 3 is the ``basic`` discriminator.
    width : channels of the first layer (``ndf``).
    norm : ``batch``, ``instance`` or ``none``.
    """

    def __init__(self, planes_in: int, layers: int = 4, width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        self.least_px = 3 * 2**layers
        widths = [width * min(2**layer, _WIDEST) for layer in range(layers + 1)]
        modules: list[nn.Module] = [nn.Conv2d(planes_in, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            modules += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=stride, padding=1, bias=norm == "instance"),
                norm_layer(norm, widths[layer]),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*modules, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """Score.

        Parameters
        ----------
        images : (n, planes_in, h, w) float in [-1, 1], the condition first; sides of at least ``3 * 2 ** layers``.

        Returns
        -------
        (n, 1, h', w') scores without bounds, 30 x 30 for 512 x 512 and four layers.
        """
        check_sides(images, multiple=1, least=self.least_px)
        scores: Tensor = self.model(images)
        return scores
