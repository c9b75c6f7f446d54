"""The model card of a bundle whose author has written none: what is known of the run, and what is not."""

from counterstain.inference.bundle import Manifest


def model_card(manifest: Manifest, *, task: str, step: int) -> str:
    """Return a page that says what a trained model reads, infers and learned from, and what its author has still to say.

    Parameters
    ----------
    task : name of the task that was learned.
    step : updates after which the weights were taken.
    """
    channels = "\n".join(f"| {channel.name} | {channel.role} | {channel.planes} |" for channel in manifest.panel.channels)
    data = "\n".join(f"- {line}" for line in manifest.training_data) or "- not stated"
    return f"""# {manifest.name} {manifest.version}

Trained with Counterstain (task {task}, {step:,} updates). Research use only.

**Reads** bright-field images in {" and ".join(manifest.stains)} at {manifest.mpp:g} um per pixel.

**Infers**

| channel | role | planes |
|---|---|---|
{channels}

The marker is {manifest.panel.marker or "not named"}; maps are cut into nuclei by the rule {manifest.decoder}.

**Learned from**

{data}

**Licence** {manifest.licence}

**Not stated here, and for its author to say:** how good it is on images of patients that took no part, where it fails, and for
which antibodies and scanners it was tried. A card of your own is put into the bundle by the option card of the export.
"""
