"""Return codes of TPMs and of the TCG stack, sorted by what to do about them."""

import pytest

from attester_agent.core.tpm_codes import REASONS, Answer, classify, code_of, is_hierarchy_closed


@pytest.mark.parametrize(
    ("return_code", "answer"),
    [
        (0x922, Answer.RETRY),  # TPM_RC_RETRY
        (0x908, Answer.RETRY),  # TPM_RC_YIELDED
        (0x90A, Answer.RETRY),  # TPM_RC_TESTING
        (0x920, Answer.RETRY),  # TPM_RC_NV_RATE
        (0x902, Answer.RETRY),  # TPM_RC_OBJECT_MEMORY
        (0xC0902, Answer.RETRY),  # the same, by the resource manager
        (0xB0922, Answer.RETRY),
        (0x921, Answer.LOCKED_OUT),
        (0x100, Answer.UNREACHABLE),  # TPM_RC_INITIALIZE: not started
        (0xA000A, Answer.UNREACHABLE),  # TSS2_TCTI_RC_IO_ERROR
        (0xA0008, Answer.UNREACHABLE),  # TSS2_TCTI_RC_NO_CONNECTION
        (0x101, Answer.FATAL),  # TPM_RC_FAILURE
        (0x18B, Answer.FATAL),  # TPM_RC_HANDLE, handle 1
        (0x9A2, Answer.FATAL),  # TPM_RC_BAD_AUTH, session 1
        (0x7000B, Answer.FATAL),  # ESAPI: bad value
    ],
)
def test_codes(return_code: int, answer: Answer) -> None:
    assert classify(return_code) is answer
    assert REASONS[answer].value.startswith("tpm-")


@pytest.mark.parametrize("return_code", [0x9A2, 0x98E, 0x185, 0xC09A2])
def test_a_closed_hierarchy_is_recognised_with_any_number(return_code: int) -> None:
    assert is_hierarchy_closed(return_code)


@pytest.mark.parametrize("return_code", [0x921, 0xA000A, 0x100, 0x18B])
def test_other_failures_are_no_closed_hierarchy(return_code: int) -> None:
    assert not is_hierarchy_closed(return_code)


def test_numbers_of_handle_session_and_parameter_are_taken_off() -> None:
    assert code_of(0x18B) == code_of(0x28B) == 0x08B
    assert code_of(0x9A2) == 0x0A2
    assert code_of(0x2C4) == 0x084
    assert code_of(0xA000A) is None
