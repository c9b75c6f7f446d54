"""From folders of real images to samples, and from samples to shuffled, augmented batches."""
