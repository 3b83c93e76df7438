"""A whole fleet on this machine: up and down, supervisor."""
