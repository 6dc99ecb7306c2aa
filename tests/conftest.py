"""What holds for every test: missing programs are named, and no verdict depends on the speed of the machine."""

import os
import shutil

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

hypothesis.settings.register_profile(
    "attestream", deadline=None, database=DirectoryBasedExampleDatabase(".cache/hypothesis")
)
hypothesis.settings.load_profile("attestream")

# Debian keeps mosquitto where an ordinary user's PATH does not look.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.needs("swtpm")` skips where swtpm is missing; continuous integration must have everything."""
    for marker in item.iter_markers("needs"):
        missing = [program for program in marker.args if shutil.which(program) is None]
        if missing and os.environ.get("CI"):
            pytest.fail(f"not on this machine: {', '.join(missing)}", pytrace=False)
        if missing:
            pytest.skip(f"not on this machine: {', '.join(missing)}")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are numbered: signatures among them differ from process to process, and the workers of a run must agree."""
    return argname if isinstance(val, bytes) else None
