"""What a policy demands of the IMA list: files that must be in it, and paths that need no reference value.

Without demands a list that holds nothing contradicts nothing: root removes the IMA policy, and no program is measured
any more. So the list must hold the agent that sends it, and the other files that the policy requires.
"""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import ConfigError
from schemas.limits import MAX_TEXT_BYTES

MAX_PATTERNS: Final = 64
# As IMA lists the Debian package of ``./run package``: the kernel measures the script before its interpreter.
AGENT: Final = ("/usr/bin/attester-agent",)
_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaTable:
    """Table ``[ima]``. ``*`` in a pattern matches any characters, also ``/``.

    Attributes:
        exclude: patterns of paths whose files need no reference value. Anyone who can write there can run any program:
            exclude data, not programs.
        agent: patterns of the path of the attester agent's program, as IMA measures it. A list in which no acceptable
            file has such a path shows nothing. Empty: the agent need not be in the list.
        required: patterns of more files; each must match an acceptable file in the list. With ``/etc/ima/ima-policy``
            the kernel must have measured the IMA policy that it loaded (``func=POLICY_CHECK``).
    """

    exclude: tuple[str, ...] = ()
    agent: tuple[str, ...] = AGENT
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaDemands:
    """A checked table.

    Attributes:
        excluded: paths that need no reference value.
        agent: patterns; one of them must match a file in the list.
        required: patterns; each of them must match a file in the list.
        paths: patterns without a wildcard by path.
        wildcards: the other patterns, compiled.
    """

    excluded: re.Pattern[str] | None = None
    agent: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    paths: Mapping[bytes, str] = field(default_factory=dict)
    wildcards: tuple[tuple[str, re.Pattern[str]], ...] = ()

    def matching(self, path: bytes) -> frozenset[str]:
        """The patterns that match the path of a measured file; a path that climbs up matches none."""
        exact = self.paths.get(path)
        if not self.wildcards or b"/../" in path:
            return frozenset((exact,)) if exact is not None else _NO_PATTERNS
        text = path.decode("utf-8", "backslashreplace")
        found = {pattern for pattern, compiled in self.wildcards if compiled.fullmatch(text)}
        return frozenset(found if exact is None else found | {exact})


_NO_PATTERNS: Final[frozenset[str]] = frozenset()
NO_DEMANDS: Final = ImaDemands()


def check_ima(table: ImaTable) -> ImaDemands:
    """Checks the patterns and compiles them.

    Raises:
        ConfigError: names the field.
    """
    named = (("exclude", table.exclude), ("agent", table.agent), ("required", table.required))
    for name, patterns in named:
        if len(patterns) > MAX_PATTERNS:
            raise ConfigError(f"ima.{name}: {len(patterns)} patterns, the limit is {MAX_PATTERNS}")
        for pattern in patterns:
            if not pattern.startswith("/") or pattern.strip("/*?") == "" or len(pattern) > MAX_TEXT_BYTES:
                raise ConfigError(f"ima.{name}: {pattern!r}, expected a path below /, such as {_EXAMPLES[name]}")
    wanted = dict.fromkeys((*table.agent, *table.required))
    wild = [pattern for pattern in wanted if _WILDCARDS & set(pattern)]
    return ImaDemands(
        excluded=re.compile("|".join(map(fnmatch.translate, table.exclude))) if table.exclude else None,
        agent=table.agent,
        required=table.required,
        paths={pattern.encode(): pattern for pattern in wanted if pattern not in wild},
        wildcards=tuple((pattern, re.compile(fnmatch.translate(pattern))) for pattern in wild),
    )


_EXAMPLES: Final = {"exclude": "/var/cache/*", "agent": AGENT[0], "required": "/etc/ima/ima-policy"}


def is_excluded(excluded: re.Pattern[str] | None, path: str) -> bool:
    """Whether a policy's ``ima.exclude`` names the path; a path that climbs up is never excluded."""
    return excluded is not None and "/../" not in path and excluded.fullmatch(path) is not None
