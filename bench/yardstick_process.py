"""The service with its actors changed, for a yardstick: `python -m bench.yardstick_process NAME`.

What follows the name is the service's own command line. Ray's workers take the changed classes
from `yardstick_actors`; the product's code knows nothing of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from actors import cluster
from actors.command_line import main
from bench import yardstick_actors

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTORS: Final[Mapping[str, Mapping[str, type]]] = {
    "ceiling": {"ShardActor": yardstick_actors.CeilingShardActor},
    "naive": {
        "ShardActor": yardstick_actors.NaiveShardActor,
        "MergeActor": yardstick_actors.NaiveMergeActor,
    },
}
"""By yardstick, what stands in for classes that `Cluster` makes actors of."""

if __name__ == "__main__":
    for name, actor in ACTORS[sys.argv.pop(1)].items():
        setattr(cluster, name, actor)
    main()
