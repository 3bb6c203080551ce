"""What a run's folder keeps: steps, and the values of measurements by their types.

`runs.Run` is the folder; `Run.cached(function, **arguments)` keeps what a function gives under a key that is made from
its name, its version and the content of every argument.
"""

from misdirection.store.cached import Cached as Cached
from misdirection.store.measurement import Folder as Folder
from misdirection.store.measurement import Incidental as Incidental
from misdirection.store.measurement import Workspace as Workspace
from misdirection.store.measurement import measurement as measurement
