"""The kernel's command line as a boot proves it: the digest that the kernel's EFI stub extends, and the arguments.

The stub extends PCR 9 with its load options as it got them, in UTF-16 with their terminator, before it reads the
initrd. The log has only the digest, so the text comes from somebody who knows it, and the digest proves it. Where the
firmware or a boot stub starts the kernel, this is the first event of PCR 9. GRUB extends the files that it reads before
that. Their content is anybody's, so a digest after the first one proves no command line.

Source: Linux ``drivers/firmware/efi/libstub`` (``efi_convert_cmdline``, ``efi_measure_tagged_event``); arguments as in
``lib/cmdline.c``, ``next_arg``, and ``kernel/params.c``, ``parse_args``.
"""

import re
from typing import Final

from schemas.hashes import HashAlgorithm

COMMAND_LINE_PCR: Final = 9
_ARGUMENT: Final = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_REST_IS_FOR_INIT: Final = "--"


def load_options_digest(text: str, bank: HashAlgorithm) -> bytes:
    """The digest that the EFI stub extends for a command line."""
    return bank.digest(text.encode("utf-16-le", "replace") + b"\0\0")


def arguments_of(text: str) -> tuple[str, ...]:
    """The arguments that the kernel reads, without quotation marks; those after ``--`` are for init."""
    words = _ARGUMENT.findall(text)
    if _REST_IS_FOR_INIT in words:
        words = words[: words.index(_REST_IS_FOR_INIT)]
    return tuple(word.replace('"', "") for word in words)
