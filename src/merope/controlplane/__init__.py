"""An embedded Kubernetes-compatible control plane for one machine: API server and the few controllers it needs."""
