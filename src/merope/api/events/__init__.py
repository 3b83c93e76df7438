"""events.k8s.io: what happened, for people."""
