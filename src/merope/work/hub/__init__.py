"""Work controllers that run on the hub."""
