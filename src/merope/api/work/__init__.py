"""work.open-cluster-management.io: manifests for managed clusters, and what became of them."""
