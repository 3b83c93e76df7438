"""The vocabulary: typed objects of every API group; CRDs are generated from them alone."""
