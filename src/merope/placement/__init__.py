"""Which clusters: Placements are turned into PlacementDecisions.

In come clusters, sets, bindings, scores and Placements; out go PlacementDecisions, the Placements' conditions, and
Events. The algorithm is pure: `policy` reads what a Placement asks for, `fleet` holds the clusters in columns,
`scheduler` chooses, `groups` divides the choice, `verdict` words the conditions. `hub` watches and writes.
"""
