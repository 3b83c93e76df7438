"""Custom resources: their definitions, and everything that happens to objects of kinds that are defined at run time.

In come CustomResourceDefinitions, from the store; out go served resources whose strategy prunes, defaults and validates
by the schema, CEL rules included. The walkers over schemas (``structural``) serve built-in kinds as well.
"""
