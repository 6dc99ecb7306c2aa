"""A file that one process may write: another one is refused, a dead one holds nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from attester_agent.service import run_agent
from attester_agent.settings import Settings, TrustSettings
from runtime.durable import check_folder_of, sole_user
from runtime.keys import generate_key_pair
from runtime.service import Stop
from schemas.errors import ConfigError
from tests.builders.token_forge import ForgedAuthority

HOLDER = """
import sys
from pathlib import Path
from runtime.durable import sole_user
with sole_user(Path(sys.argv[1]), "state"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigError, match=r"state: .*state\.db: in use by another process"),
            sole_user(path, "state"),
        ):
            pass
        holder.kill()
        holder.wait()
    with sole_user(path, "state"):
        pass


def test_a_second_agent_on_one_state_is_refused(tmp_path: Path) -> None:
    generate_key_pair(tmp_path / "d.pem")
    (tmp_path / "tsa.pem").write_bytes(ForgedAuthority.make().root.pem)
    settings = Settings(
        state=tmp_path / "agent.db",
        trust=TrustSettings(distributor_keys=(tmp_path / "d.pub",), tsa_roots=(tmp_path / "tsa.pem",)),
    )
    with (
        sole_user(tmp_path / "agent.db", "state"),
        pytest.raises(ConfigError, match=r"state: .*agent\.db: in use by another process"),
    ):
        run_agent(settings, Stop())
    assert not (tmp_path / "agent.db").exists()


def test_a_folder_is_checked_without_a_trace(tmp_path: Path) -> None:
    check_folder_of(tmp_path / "x", "state")
    check_folder_of(tmp_path / "new" / "x", "state", made_if_missing=True)
    with pytest.raises(ConfigError, match=r"state: .*no such folder"):
        check_folder_of(tmp_path / "new" / "x", "state")
    with pytest.raises(ConfigError, match="is a folder"):
        check_folder_of(tmp_path, "state")
    assert list(tmp_path.iterdir()) == []
