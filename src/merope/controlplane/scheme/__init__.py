"""The built-in kinds: what a Kubernetes API server knows without any custom resource definition.

``catalogue`` reads the generated data file and makes a ``Resource`` of each served kind. ``kinds`` holds what differs
from kind to kind: defaults, rules of writing, validation. ``messages`` knows the fields of Kubernetes' own types;
from it ``shape`` brings objects into the form in which those types print them, and ``protobuf`` decodes the request
bodies of typed clients. ``tables`` renders objects as the rows that kubectl prints, with the ``columns`` of each kind.
"""
