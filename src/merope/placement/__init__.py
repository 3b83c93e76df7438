"""Which clusters: Placements are turned into PlacementDecisions."""
