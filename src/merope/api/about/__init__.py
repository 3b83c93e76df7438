"""about.k8s.io: what a cluster says about itself."""
