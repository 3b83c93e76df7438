"""The functions of the environments: each module declares one `Library`, and implements its functions on plain values.

Importing a module of this package only fills tables; regular expressions, time zones and address parsers are imported
when a function first needs them.
"""
