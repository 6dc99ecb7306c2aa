"""What a key may sign: kinds of trust objects, names of sets and policies, groups of attesters."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.topics import TopicKind


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyScope:
    """The scope of one key. None does not limit.

    Attributes:
        kinds: of trust objects.
        names: patterns for the names of sets and policies; ``*`` matches any characters.
        groups: of the attesters that it may endorse, withdraw, and give a policy; ``*`` is every other group.
    """

    kinds: frozenset[TopicKind] | None = None
    names: tuple[str, ...] | None = None
    groups: frozenset[str] | None = None

    def allows_kind(self, kind: TopicKind) -> bool:
        """Whether the key may sign objects of this kind."""
        return self.kinds is None or kind in self.kinds

    def allows_name(self, name: str) -> bool:
        """Whether the key may sign a set or a policy of this name."""
        return self.names is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)

    def allows_groups(self, groups: Iterable[str]) -> bool:
        """Whether the key may sign something about these groups."""
        return self.groups is None or self.groups.issuperset(groups)


EVERYTHING = KeyScope()
