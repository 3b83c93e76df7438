"""Who owns which field: managedFields and server-side apply.

Every write leaves a record of the fields it set. An apply states all that its manager wants; it conflicts where it
would change what others own, and takes away what the same manager applied before, omits now, and nobody else owns.

``fieldset`` is the set of field paths and its JSON form; ``typed`` walks objects beside their schema (which paths an
object has, what differs between two, merging, removing); ``managed`` is the record in ``metadata.managedFields``;
``update`` and ``apply`` are the two ways a write goes through it.
"""

from merope.controlplane.fieldmanager.apply import apply
from merope.controlplane.fieldmanager.managed import equal_ignoring_times, restore_times
from merope.controlplane.fieldmanager.update import update

__all__ = ["apply", "equal_ignoring_times", "restore_times", "update"]
