"""Clusters join, stay alive and leave."""
