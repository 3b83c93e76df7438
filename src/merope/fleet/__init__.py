"""A whole fleet on this machine: a hub and managed clusters, brought up, watched over, and taken down.

``up`` (``bringup``) writes down what shall run (``processes``) and makes it true; a supervisor (``supervisor``) of a
few megabytes keeps those processes alive, and a guard keeps the supervisor alive. All processes are the ordinary
commands; nothing here is a special way of running them. State lives in one directory (``layout``).
"""
