"""What a training step needs of memory: counted, so that nothing else on the machine changes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import TracebackType

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class Kept:
    """Counts, within a `with` block, the bytes that are kept for backward passes.

    A storage that is kept twice counts once; views count as the whole of theirs.

    Attributes:
        most: bytes kept at one moment, at the most.

    Args:
        own: tensors that are there anyway, such as weights, and do not count.
    """

    def __init__(self, own: Iterable[Tensor] = ()) -> None:
        self.most = 0
        self._now = 0
        self._own = {_place(tensor) for tensor in own}
        self._uses: Counter[int] = Counter()
        self._hooks = saved_tensors_hooks(self._keep, lambda held: held.tensor)

    def __enter__(self) -> Kept:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, trace)

    def _keep(self, tensor: Tensor) -> _Held:
        return _Held(tensor, self)

    def add(self, tensor: Tensor) -> None:
        """Count a tensor that is kept from now on."""
        place = _place(tensor)
        if place in self._own:
            return
        self._uses[place] += 1
        if self._uses[place] == 1:
            self._now += tensor.untyped_storage().nbytes()
            self.most = max(self.most, self._now)

    def remove(self, tensor: Tensor) -> None:
        """Count a tensor that is kept no longer."""
        place = _place(tensor)
        if place in self._own:
            return
        self._uses[place] -= 1
        if not self._uses[place]:
            del self._uses[place]
            self._now -= tensor.untyped_storage().nbytes()


class _Held:
    """A tensor for as long as a backward pass needs it."""

    def __init__(self, tensor: Tensor, kept: Kept) -> None:
        self.tensor, self._kept = tensor, kept
        kept.add(tensor)

    def __del__(self) -> None:
        self._kept.remove(self.tensor)


def stored(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages of some tensors, each counted once."""
    return sum({_place(t): t.untyped_storage().nbytes() for t in tensors}.values())


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
