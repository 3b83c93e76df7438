"""cluster.open-cluster-management.io: managed clusters, their sets and claims, and the placement of work on them."""
