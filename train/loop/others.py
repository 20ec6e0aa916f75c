"""The other processes of a command, seen from the first: the connections, and what they have of the model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from curate.errors import CurateError, LostProcessError
from curate.train.data.samples import mix_seed
from curate.train.models.model import FusionModel

from .launch import Launched
from .links import Disconnected, Links
from .meeting import Store
from .parts import Copy, description, state

State = list[tuple[int, ...]]


class Others:
    """The other processes of a command, seen from the first.

    Args:
        launched: the other processes, started here; None if `torchrun` started them.
        store: where those have met.

    Attributes:
        world: how many processes there are.
        device: type of the devices that the encoders run on; '' is that of the inputs.
        forwards: how many there were in all of them.
        released: numbers of those whose backward cannot come any more.
        copy: this process's own copy of encoders whose weights are divided, once they have run.
    """

    def __init__(self, world: int, launched: Launched | None = None, store: Store | None = None) -> None:
        self.world = world
        self.device = ""
        self.forwards = 0
        self.released: list[int] = []
        self.copy: Copy | None = None
        self._launched = launched
        self._store = store
        self._links: Links | None = None
        self._broken = False
        self._built = ""
        self._sent: dict[str, tuple[Callable[[], nn.Module | None], State]] = {}
        self._stream = (0, 0)

    @property
    def links(self) -> Links:
        """The connections, made when they are first used."""
        if self._links is None:
            if self._launched is not None:
                self._links = self._launched.links()
            elif self._store is not None:
                self._links = Links(0, self.world, self._store)
            else:
                raise ValueError("processes that were not started here need the store where they have met")
        return self._links

    def close(self) -> None:
        """Let the other processes end."""
        try:
            # Those that torchrun started wait for an order, even if the command had none for them.
            if not self._broken and (self._links is not None or self._launched is None):
                self.links.tell({"what": "end"})
                self.links.close()
        except Disconnected:
            self._broken = True
        finally:
            if self._launched is not None:
                self._launched.close(wait=self._links is not None and not self._broken)
            self._broken = True

    @contextmanager
    def order(self) -> Iterator[Links]:
        """The connections for one exchange; after an exchange that was broken off there is no other.

        Raises:
            CurateError: another process has ended.
        """
        if self._broken:
            raise CurateError("the processes of this run are not together any more", "begin the command again")
        self._broken = True
        try:
            yield self.links
            self._broken = False
        except (Disconnected, RuntimeError) as error:  # divided encoders exchange weights while they run
            reason = self._lost()
            if not reason and not isinstance(error, Disconnected):
                raise
            raise LostProcessError(
                f"one of the {self.world} processes ended before the others: {reason or error}",
                "type the command again; if memory was short, with fewer processes, or a smaller optim.batch_size",
            ) from None

    def _lost(self) -> str:
        """Why another process ended, '' if none is known to have."""
        reason = self._launched.ended(by_signal=True) if self._launched else ""
        if not reason and self._links:
            reason = self._links.failure()
        return reason or (self._launched.ended(0) if self._launched else "")

    def seed(self, value: int) -> None:
        """Let the random numbers of dropout depend on this, and on how many forwards there were since."""
        self._stream = (value, 0)

    def next_seed(self) -> int:
        """The seed of dropout for the next forward."""
        value, count = self._stream
        self._stream = (value, count + 1)
        return mix_seed(value, count)

    def copy_here(self, told: str | None) -> Copy:
        """This process's copy of encoders whose weights are divided, made anew where others are told of a new model."""
        if told is not None or self.copy is None:
            self.copy = Copy(self.links)
            self.copy.build(told or self._built, self.device)
        return self.copy

    def told(self, model: FusionModel) -> str | None:
        """What other processes make the model's encoders from, if they have others."""
        text = description(model)
        if text == self._built:
            return None
        self._built, self._sent = text, {}
        return text

    def changed(self, encoder: nn.Module, modality: str) -> list[int]:
        """Which kinds of an encoder's `state` the other processes do not have as they are now; these are sent then."""
        now = [tuple(x for t in tensors for x in (t._version, t.data_ptr())) for tensors in state(encoder)]
        of, before = self._sent.get(modality, (lambda: None, now))
        self._sent[modality] = (weakref.ref(encoder), now)
        return [kind for kind, value in enumerate(now) if value and (of() is not encoder or before[kind] != value)]
