"""Talking to any Kubernetes API: configuration, client, watches, caches, queues and controllers."""
