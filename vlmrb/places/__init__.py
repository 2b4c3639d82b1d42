"""Where the checkpoints of a run are: in a folder, or in an object store such as S3, from where any machine can resume the run.

`folder` is a folder, the run's own or one that people name, with checkpoints as `vlmrb.checkpoint` writes them. `mirror` is
anything else: checkpoints are written to the run's own folder first, and sent on from there. `remote` is the connection, with
errors in words. `choosing` decides which it is, and tries it before a run is made.
"""

from __future__ import annotations

from vlmrb.places.choosing import check_place, choose_place, place_of, read_address, set_default_place
from vlmrb.places.folder import FolderPlace
from vlmrb.places.found import PARENT, RESUME, Found, Place
from vlmrb.places.mirror import Mirror
from vlmrb.places.remote import Remote

__all__ = [
    "PARENT",
    "RESUME",
    "FolderPlace",
    "Found",
    "Mirror",
    "Place",
    "Remote",
    "check_place",
    "choose_place",
    "place_of",
    "read_address",
    "set_default_place",
]
