"""From pixels to maps: bundles and the backends that run them."""
