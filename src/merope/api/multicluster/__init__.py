"""multicluster.x-k8s.io: the inventory of clusters in the form that the multicluster working group agreed on."""
