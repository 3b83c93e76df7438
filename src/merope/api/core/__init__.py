"""The core group: the built-in kinds that are read as types."""
