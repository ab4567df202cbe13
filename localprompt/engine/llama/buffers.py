"""Where llama.cpp put the weights, read from its log.

A buffer type is a kind of memory with a layout of its own. ``CPU_Mapped`` is a mapping of the file,
``CPU`` what was read from it; every other one holds copies in an order that is made for this CPU:
``AMX``, ``CPU_REPACK``, ``CPU_KLEIDIAI`` and whatever comes next.
"""

from __future__ import annotations

from collections.abc import Mapping

_PLAIN, _MAPPED = "CPU", "CPU_Mapped"


class WeightBuffers:
    """The buffers of one open model.

    Args:
        logged: bytes by ``<buffer type> <kind>``, of which the kind ``model`` counts.
        tensor_bytes: of all tensors in the file; what a mapping has resident at the peak, because
            llama.cpp prefetches all of it and lets go of the rest when everything is copied.
    """

    def __init__(self, logged: Mapping[str, int], tensor_bytes: int) -> None:
        self.by_type = {
            name.removesuffix(" model"): size
            for name, size in logged.items()
            if name.endswith(" model")
        }
        self._tensor_bytes = tensor_bytes

    @property
    def mapped(self) -> bool:
        """Whether the file is mapped."""
        return _MAPPED in self.by_type

    @property
    def laid_out(self) -> tuple[str, ...]:
        """The buffer types that hold copies made for this CPU, sorted."""
        return tuple(sorted(set(self.by_type) - {_PLAIN, _MAPPED}))

    @property
    def resident_bytes(self) -> int | None:
        """Weights that were resident together: the mapping and all copies; None: not logged."""
        if not self.by_type:
            return None
        copies = sum(size for name, size in self.by_type.items() if name != _MAPPED)
        return copies + (self._tensor_bytes if self.mapped else 0)
