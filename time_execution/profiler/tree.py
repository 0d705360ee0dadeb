"""Which profiled call is under way in this thread or task, and what was recorded in the tree it belongs to.

The innermost call stands in a context variable, so threads have trees of their own, and a task that is started inside a
call belongs to the tree of that call. Nothing here measures or handles anything.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from time_execution.forking import on_fork

if TYPE_CHECKING:
    from time_execution.profiler.types import Record

    Entry = tuple[Any, Record]


class _Process:
    """The process at hand, as a mark that a forked child does not share."""

    __slots__ = ("mark",)

    def __init__(self) -> None:
        self.mark = object()

    def begin_afresh(self) -> None:
        """Take another mark; called in the child."""
        self.mark = object()


MOST_RECORDS = 100
"""So many are handled at once, before the root of their tree has ended."""

_here = _Process()
running: ContextVar[MethodTreeNode | None] = ContextVar("time_execution.profiler", default=None)
"""The innermost profiled call; one for all profilers, for a metric belongs to whatever call it is used in."""


def watch_forks() -> None:
    """Let a forked child leave to its parent what was recorded before the fork."""
    on_fork(_here.begin_afresh)


class MethodTreeNode:
    """A profiled call, and from its construction on the innermost one of this context.

    For one thread or task at a time; records are added to a tree and taken from it by any.

    Args:
        keeper: The profiler.
        site: What is called: its ``owner``, class or module, and its own ``label``.

    Attributes:
        context: ``Owner:root.child.grandchild``.
        root: The first call of its tree; None for that one itself, which would else refer to itself.
        outer: The call that this one was made from, of whatever profiler; or None.
        series: How the call goes down the pipeline; set by who measures.
        failed: Whether the function raised.
        is_taken: Whether a function that runs in several steps has found its call.
        is_inner: Whether it is the innermost call, or stands around that.
        has_ended: Whether the call is over.
        is_late: Whether it began, or a call around it did, after the call that it was made from was over.
        is_open: For a root: whether what is recorded waits for its end.
        entries: For a root: the records that wait, with their metrics.
    """

    # Slots, and each of them set: what is on the class until it changes is dear to read.
    __slots__ = (
        "_process",
        "_token",
        "context",
        "entries",
        "failed",
        "has_ended",
        "is_inner",
        "is_late",
        "is_open",
        "is_taken",
        "keeper",
        "outer",
        "root",
        "series",
        "site",
    )

    def __init__(self, keeper: Any, site: Any) -> None:
        self.keeper = keeper
        self.site = site
        self.outer: MethodTreeNode | None = None
        self.root: MethodTreeNode | None = None
        self.series: Any = None
        self.failed = self.is_taken = self.has_ended = self.is_late = False
        self.is_open = self.is_inner = True
        outer = running.get()
        if outer is None:
            parent = None
        elif outer.keeper is keeper and not (outer.has_ended or outer.is_late):
            self.outer = parent = outer
        else:
            parent = self._parent(outer)
        if parent is None:
            self.context: str = site.name
            self.entries: list[Entry] = []
            self._process: object = _here.mark
        else:
            self.root = parent.root or parent
            self.context = f"{parent.context}.{site.label}"
        self._token: Token[MethodTreeNode | None] = running.set(self)

    def _parent(self, caller: MethodTreeNode) -> MethodTreeNode | None:
        """Find out what the call was made from; returns the innermost call of the same profiler around it."""
        # Else a call that has itself called again later, for ever, would have ever longer contexts.
        while caller.has_ended and caller.is_late and caller.outer is not None:
            caller = caller.outer
        self.outer = caller
        if caller.has_ended or caller.is_late:
            self.is_late = True
        parent: MethodTreeNode | None = caller
        while parent is not None and parent.keeper is not self.keeper:
            parent = parent.outer
        return parent

    @property
    def item(self) -> str:
        """Who owns the root."""
        owner: str = (self.root or self).site.owner
        return owner

    def enter(self) -> None:
        """Be the innermost call of this context again."""
        self.is_inner = True
        self._token = running.set(self)

    def end(self) -> None:
        """Be over, and leave; what is recorded in the tree of a root from now on does not wait any more."""
        self.has_ended = True
        if self.root is None:
            self.is_open = False
        if self.is_inner:  # as `leave` does; a call less shows in what a profiled call costs
            token = self._token
            del self._token
            try:
                running.reset(token)
            except ValueError:
                return

    def leave(self) -> None:
        """Let that call be the innermost again that was so when this one was entered."""
        self.is_inner = False
        token = self._token
        del self._token  # it refers to the call before it, which would keep the one before that, and so on
        try:
            running.reset(token)
        except ValueError:  # in another context, as where a collector ends it, nothing is to be set back
            return

    def add(self, metric: Any, record: Record) -> None:
        """Keep a record of a metric with its tree."""
        root = self.root or self
        if root._process is not _here.mark:  # noqa: SLF001 - one of ours
            root.entries, root._process = [], _here.mark  # noqa: SLF001 - what was in it is the parent's
        root.entries.append((metric, record))

    @property
    def is_due(self) -> bool:
        """Whether what was recorded in its tree is to be handled now: it is enough, or nobody else will do it."""
        root = self.root or self
        return len(root.entries) >= MOST_RECORDS or (self.has_ended and not root.is_open)

    def take(self) -> list[Entry]:
        """Return what was recorded in its tree, and forget it; two that take at once share it."""
        root = self.root or self
        taken: list[Any] = []
        entries = root.entries if root._process is _here.mark else taken  # noqa: SLF001 - one of ours
        try:
            while entries:
                taken.append(entries.pop(0))
        except IndexError:  # the other one took the last
            return taken
        return taken


def innermost(keeper: Any = None) -> MethodTreeNode | None:
    """Return the innermost call of this context, or the innermost that one profiler measures; None outside of any."""
    node = running.get()
    while node is not None and keeper is not None and node.keeper is not keeper:
        node = node.outer
    return node
