"""The small languages of Kubernetes and OCM, pure: CEL, JSONPath, selectors, quantities, patches, Go's JSON."""
