"""Opens a TPM, runs commands, makes and loads keys.

Every failure is a ``WorldError`` with the TPM's own error text, or a ``ConfigError`` if only an operator can help. If
the TPM is busy, a command is repeated with growing pauses.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

from prometheus_client import Counter, Histogram
from tpm2_pytss import ESAPI, ESYS_TR, TPM2_CAP, TPM2B_PUBLIC, TPMT_PUBLIC, TSS2_Exception

from attester_agent.core import tpm_codes
from attester_agent.core.key_templates import ek_template
from attester_agent.core.tpm_codes import Answer
from attester_agent.settings import KeyAlgorithm, TpmSettings
from runtime.clock import monotonic_s
from schemas.errors import WorldError
from schemas.reasons import Reason

_SECONDS: Final = Histogram(
    "attestream_tpm_command_seconds",
    "Time of TPM commands, retries included, by command",
    ["command"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_FAILURES: Final = Counter(
    "attestream_tpm_failures_total", "TPM commands that failed after all retries", ["command", "reason"]
)
_RETRY_PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_EK_HANDLES: Final = {
    KeyAlgorithm.RSA: 0x8101_0001,
    KeyAlgorithm.ECC: 0x8101_0002,
}  # TCG EK Credential Profile, 2.2.1.5

T = TypeVar("T")
# tpm2-pytss has no type hints; its objects stay in the modules that import it.
Esapi: TypeAlias = Any
Handle: TypeAlias = Any  # ESYS_TR
Native: TypeAlias = Any  # a structure of libtss2


@contextmanager
def open_tpm(settings: TpmSettings) -> Iterator[Esapi]:
    """An ESAPI context, closed at the end.

    Raises:
        WorldError: ``tpm-unreachable``.
    """
    try:
        esapi = ESAPI(settings.tcti)
    except (TSS2_Exception, RuntimeError) as error:
        raise WorldError(Reason.TPM_UNREACHABLE, f"tcti {settings.tcti!r}: {error}") from error
    try:
        yield esapi
    finally:
        esapi.close()


class TpmError(WorldError):
    """A ``WorldError`` with the TPM's return code."""

    def __init__(self, reason: Reason, detail: str, return_code: int) -> None:
        super().__init__(reason, detail)
        self.return_code = return_code


class Runner:
    """Runs TPM commands: takes their time, translates errors, repeats a command while the TPM is busy."""

    def __init__(
        self, pause: Callable[[float], bool], watch: Callable[[str, float, float], None] | None = None
    ) -> None:
        """``pause`` is as in ``TpmDevice``. ``watch`` gets each command's name, start and end (monotonic seconds)."""
        self._pause = pause
        self._watch = watch

    def __call__(self, command: str, function: Callable[[], T]) -> T:
        """Runs one command; ``command`` is its name in metrics and errors."""
        start_s = monotonic_s()
        pauses = iter(_RETRY_PAUSES_S)
        try:
            while True:
                try:
                    return function()
                except TSS2_Exception as error:
                    answer = tpm_codes.classify(error.rc)
                    pause_s = next(pauses, None) if answer is Answer.RETRY else None
                    if pause_s is None or self._pause(pause_s):
                        detail = f"{command}: {error} ({error.rc:#x})"
                        _FAILURES.labels(command, tpm_codes.REASONS[answer]).inc()
                        raise TpmError(tpm_codes.REASONS[answer], detail, int(error.rc)) from error
        finally:
            end_s = monotonic_s()
            _SECONDS.labels(command).observe(end_s - start_s)
            if self._watch is not None:
                self._watch(command, start_s, end_s)


def create_primary(esapi: Esapi, run: Runner, template: bytes, hierarchy: Handle) -> Handle:
    """Makes a transient primary key from a template."""
    public, _ = TPMT_PUBLIC.unmarshal(template)
    in_public = TPM2B_PUBLIC(publicArea=public)
    handle: Handle
    handle, *_ = run("create-primary", lambda: esapi.create_primary(None, in_public, primary_handle=hierarchy))
    return handle


@contextmanager
def flushed(esapi: Esapi, transient: Handle) -> Iterator[None]:
    """Flushes a transient object at the end, even when the TPM has just failed."""
    try:
        yield
    finally:
        with suppress(TSS2_Exception):  # an earlier error matters more; a lost TPM has lost its objects too
            esapi.flush_context(transient)


def load_persistent(esapi: Esapi, run: Runner, persistent: int) -> tuple[Handle, bytes] | None:
    """ESYS handle and TPMT_PUBLIC of a persistent object; None if the handle is empty."""
    _, found = run("get-capability", lambda: esapi.get_capability(TPM2_CAP.HANDLES, persistent, 1))
    if persistent not in [int(handle) for handle in found.data.handles]:
        return None
    handle: Handle = run("load-key", lambda: esapi.tr_from_tpmpublic(persistent))
    return handle, public_of(esapi, run, handle)


def public_of(esapi: Esapi, run: Runner, handle: Handle) -> bytes:
    """TPMT_PUBLIC of a loaded object."""
    public, _, _ = run("read-public", lambda: esapi.read_public(handle))
    raw: bytes = public.publicArea.marshal()
    return raw


@contextmanager
def endorsement_key(esapi: Esapi, run: Runner, *, rsa: bool) -> Iterator[Handle]:
    """Makes the endorsement key from the TCG's default template, and flushes it at the end.

    If the endorsement hierarchy is closed, uses the key that the manufacturer or owner stored at the TCG's handle.

    Raises:
        WorldError: ``tpm-fatal`` if neither is possible, or another ``tpm-…``.
    """
    try:
        transient = create_primary(esapi, run, ek_template(rsa=rsa), ESYS_TR.ENDORSEMENT)
    except TpmError as error:
        if not tpm_codes.is_hierarchy_closed(error.return_code):
            raise
        persistent = _EK_HANDLES[KeyAlgorithm.RSA if rsa else KeyAlgorithm.ECC]
        loaded = load_persistent(esapi, run, persistent)
        if loaded is None:
            raise WorldError(
                Reason.TPM_FATAL,
                f"no endorsement key: the endorsement hierarchy is closed ({error.detail}) and {persistent:#x} is "
                f"empty; provision while it is open, or put the key there: tpm2_createek -c {persistent:#x}",
            ) from error
        yield loaded[0]
        return
    with flushed(esapi, transient):
        yield transient
