"""Talking to any Kubernetes API: config, client, watch, cache, queue, controller, manager."""
