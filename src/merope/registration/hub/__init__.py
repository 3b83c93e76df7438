"""Registration controllers that run on the hub."""
