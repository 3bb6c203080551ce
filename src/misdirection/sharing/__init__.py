"""What is given away on the hub: a direction, a dictionary, a repaired adapter or model, with a card and its figures.

`things` opens what is to be pushed, `measured` takes its figures from a run, `cards` writes README.md, `pushing` sends.
"""

from misdirection.sharing.parcel import Parcel, pack
from misdirection.sharing.pushing import push_to_hub

__all__ = ["Parcel", "pack", "push_to_hub"]
