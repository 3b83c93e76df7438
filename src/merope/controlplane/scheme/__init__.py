"""The built-in kinds: what a Kubernetes API server knows without any custom resource definition.

``catalogue`` reads the generated data file and makes a ``Resource`` of each served kind. ``kinds`` holds what differs
from kind to kind: defaults, rules of writing, validation. ``tables`` renders objects as the rows that kubectl prints.
``protobuf`` decodes the request bodies of typed clients.
"""
