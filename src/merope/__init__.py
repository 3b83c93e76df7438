"""Open Cluster Management (OCM) for Python: one hub for a fleet of Kubernetes clusters."""

__version__ = "0.1.0"
