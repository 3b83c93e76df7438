"""authentication.k8s.io: tokens, asked for and reviewed."""
