"""The small languages of Kubernetes and OCM, as pure functions: CEL, JSONPath, selectors, quantities, patches, Go's JSON."""
