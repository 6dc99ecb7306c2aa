"""Programs around the product: bootstrap, demo, recorded fixtures."""
