"""Work controllers that run beside a managed cluster."""
