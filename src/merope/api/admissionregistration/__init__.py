"""admissionregistration.k8s.io: webhooks that are asked before an object is stored."""
