"""A whole system on one machine whose clocks we own: the TSA's, the TPM's oscillator, and the true time of everything.

Real: distributor, agent and verifier as processes, mosquitto, swtpm (under libfaketime where its clock runs wrong).
Ours: the TSA, which remembers when it truly stamped what, and a listener, which remembers when it truly heard what.
:meth:`TimeRig.witness` reads the TPM's clock between two looks at the true one: a quote with a greater reading was
made after the first look, one with a smaller reading before the second.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paho.mqtt.client as paho
from typing_extensions import override

from runtime.audit_log.signer import generate_audit_log_key
from runtime.keys import generate_key_pair
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.codecs.tst_info import extract_tst_info, parse_tst_info
from schemas.hashes import SHA256
from schemas.identifiers import parse_ueid_text
from schemas.instants import SECOND_US
from schemas.media_types import Indicator
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.reference_values import ReferenceValues, sign_reference_values
from schemas.messages.result import AttestationResult, from_claims
from schemas.reasons import Reason
from schemas.time_model import quote_made, stamped
from schemas.topics import TopicKind, Topics
from schemas.tpm.attest import ClockInfo, parse_attest
from schemas.tpm.public import parse_public
from schemas.verdicts import Tier
from tests.builders.statements import stated
from tests.builders.token_forge import ForgedAuthority, granted
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener
from tests.programs.swtpm import Swtpm, require_tool, running_swtpm
from tests.programs.tsa import Behaviour, Exchange, misbehaving_tsa, parse_query
from tests.programs.waiting import PATIENCE_S
from tests.worlds.device import make_endorsement

ROOT: Final = Path(__file__).resolve().parents[2]
MAX_AGE_S: Final = 600

_POLICY: Final = f"""\
id = "time"
version = 1
pcrs = "sha256:1-10"
reference_values = ["zeros"]
deadline_s = 600.0
max_age_s = {MAX_AGE_S}.0
max_handle_age_s = {MAX_AGE_S}.0
result_lifetime_s = 60.0
"""


def true_us() -> int:
    """This machine's clock, which is the truth here."""
    return time.time_ns() // 1000


class Watch(Listener):
    """A listener that remembers when each message came."""

    def __init__(self, port: int, topics: tuple[str, ...]) -> None:
        self.heard_us: list[int] = []
        super().__init__(port, topics)

    @override
    def _received(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        self.heard_us.append(true_us())
        super()._received(client, data, message)


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push that was heard, and when."""

    evidence: Evidence
    heard_us: int
    quote: ClockInfo
    sync: ClockInfo
    handle: bytes


@dataclass(frozen=True, kw_only=True)
class Witness:
    """The TPM's clock was read between two moments."""

    before_us: int
    after_us: int
    clock_ms: int
    reset_count: int
    restart_count: int


class TimeRig:
    """See the module; made by :func:`time_rig`."""

    def __init__(self, folder: Path, port: int, tpm: Swtpm, authority: ForgedAuthority) -> None:
        self.folder, self.port, self.tpm, self.topics = folder, port, tpm, Topics()
        self.authority = authority
        self.endorser = generate_key_pair(folder / "endorser.key")
        self.distributor = generate_key_pair(folder / "distributor.key")
        self.verifier = generate_key_pair(folder / "verifier.key")
        generate_audit_log_key(folder / "audit.key")
        self.stamped: dict[bytes, int] = {}  # imprint of what the TSA stamped → when, truly
        self.witnesses: list[Witness] = []
        self.sets: list[tuple[int, int]] = []  # clock before and after TPM2_ClockSet
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.watch = Watch(port, (self.topics.all_handles, self.topics.all_evidence, self.topics.all_results))

    # ── the parts ────────────────────────────────────────────────────────────────────────────────────────────────────

    def stamping(self, offset_us: int, accuracy_us: int) -> Behaviour:
        """A TSA whose clock is off by ``offset_us`` and which remembers the truth."""

        def behave(raw: bytes, exchange: Exchange) -> None:
            query, now_us = parse_query(raw), true_us()
            self.stamped[query.imprint] = now_us
            token = self.authority.token(query.imprint, now_us + offset_us, accuracy_us=accuracy_us, nonce=query.nonce)
            exchange.reply(granted(token))

        return behave

    def configure(self, tsa_url: str, interval_s: float) -> None:
        (self.folder / "tsa.pem").write_bytes(self.authority.root.pem)
        (self.folder / "policy.toml").write_text(_POLICY)
        trust = {"distributor_keys": ["distributor.pub"], "tsa_roots": ["tsa.pem"]}
        mqtt: dict[str, object] = {"port": self.port}
        self._write(
            "distributor",
            {"name": "clock", "signing_key": "distributor.key", "state_file": "last-handle"},
            {"interval_s": interval_s, "lifetime_s": 600},
            mqtt=mqtt,
            tsa={"urls": [tsa_url], "roots": ["tsa.pem"], "max_clock_offset_s": 30},
        )
        self._write(
            "agent",
            {"name": "device-1", "state": "agent.db"},
            mqtt=mqtt,
            tpm={"tcti": self.tpm.tcti},
            evidence={"pcrs": "sha256:1-10", "heartbeat_s": 0.2, "log_poll_s": 0.1},
            trust={**trust, "verifier_keys": ["verifier.pub"]},
        )
        files = {"signing_key": "verifier.key", "database": "state.db", "audit_log": "audit"}
        self._write(
            "verifier",
            {"name": "verifier-1", **files, "policy": "policy.toml", "solicit_interval_s": 0.2},
            mqtt=mqtt,
            audit={"signing_key": "audit.key"},
            trust={**trust, "endorser_keys": ["endorser.pub"]},
        )

    def _write(self, name: str, *plain: dict[str, object], **tables: dict[str, object]) -> None:
        lines = [f"{key} = {json.dumps(value)}" for each in plain for key, value in each.items()]
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        (self.folder / f"{name}.toml").write_text("\n".join(lines))

    def provision(self) -> None:
        """Lets the agent make its key, endorses it, and publishes what the verifier needs, retained."""
        self._command("provision", "--config", str(self.folder / "agent.toml"), "--out", str(self.folder))
        self.ueid = parse_ueid_text((self.folder / "attester.ueid").read_text().strip())
        raw_public = (self.folder / "ak.tpmt_public").read_bytes()
        endorsed = make_endorsement(self.ueid, parse_public(raw_public))
        signed = sign_endorsement(endorsed, raw_public, self.endorser)
        wrapped = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.ENDORSEMENTS)
        self.watch.publish(self.topics.endorsements(self.ueid), wrapped, retain=True)
        values = ReferenceValues(
            name="zeros",
            version=1,
            signer="endorser",
            not_before_s=0,
            not_after_s=2**40,
            registers={SHA256: {index: frozenset({bytes(32)}) for index in range(1, 11)}},
            files={},
        )
        wrapped = cmw.wrap(
            media_types.SIGNED_CORIM, sign_reference_values(values, self.endorser), Indicator.REFERENCE_VALUES
        )
        self.watch.publish(self.topics.reference_values("zeros"), wrapped, retain=True)
        self.watch.publish(*stated(self.endorser, "zeros", topics=self.topics), retain=True)

    def _command(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "attester_agent", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def start(self, module: str, config: str) -> None:
        """Starts one of our three processes."""
        with (self.folder / f"{config}.log").open("ab") as log:
            self._processes[config] = subprocess.Popen(
                [sys.executable, "-m", module, "run", "--config", str(self.folder / f"{config}.toml")],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def kill(self, config: str) -> None:
        """SIGKILL, and waits for the end."""
        process = self._processes.pop(config)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)

    def close(self) -> None:
        for config in list(self._processes):
            self.kill(config)
        self.watch.close()

    def logs(self) -> str:
        """The last lines of everybody."""
        files = [self.folder / f"{name}.log" for name in ("distributor", "agent", "verifier")]
        return "\n".join(f"{each.name}: {each.read_text()[-1500:]}" for each in files if each.exists())

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def tool(self, name: str, *arguments: str) -> str:
        """One of tpm2-tools, on this TPM."""
        return subprocess.run(
            [require_tool(name), "-T", self.tpm.tcti, *arguments], check=True, capture_output=True, text=True
        ).stdout

    def witness(self) -> Witness:
        before_us = true_us()
        lines = [line.partition(":") for line in self.tool("tpm2_readclock").splitlines()]
        shown = {name.strip(): value.strip() for name, _, value in lines}
        seen = Witness(
            before_us=before_us,
            after_us=true_us(),
            clock_ms=int(shown["clock"]),
            reset_count=int(shown["reset_count"]),
            restart_count=int(shown["restart_count"]),
        )
        self.witnesses.append(seen)
        return seen

    def set_clock_forward(self, ms: int) -> None:
        """TPM2_ClockSet, as the owner of the device may."""
        now_ms = self.witness().clock_ms
        self.tool("tpm2_setclock", str(now_ms + ms))
        self.sets.append((now_ms, now_ms + ms))

    def wait(self, wanted: Callable[[list[AttestationResult]], bool], what: str, seconds: float = PATIENCE_S) -> None:
        """Waits until the results so far, oldest first, are as wanted."""

        def there(messages: list[tuple[str, bytes]]) -> bool:
            return wanted(self.results(messages))

        try:
            self.watch.wait_for(there, what, seconds)
        except AssertionError as error:
            reasons = [(each.sequence, str(each.status), list(each.reasons)) for each in self.results()[-8:]]
            raise AssertionError(f"{error}; results {reasons}; {self.logs()}") from error

    def wait_for_new(
        self, wanted: Callable[[AttestationResult], bool] = lambda _: True, what: str = "", count: int = 1
    ) -> list[AttestationResult]:
        """Waits for ``count`` results, from now on, that are as wanted; returns all results since."""
        start = len(self.results())
        self.wait(lambda results: sum(map(wanted, results[start:])) >= count, what or "more results")
        return self.results()[start:]

    def wait_for_reason(self, reason: Reason) -> AttestationResult:
        """The first result from now on that gives a reason."""
        since = self.wait_for_new(lambda result: reason in result.reasons, f"a result that says {reason}")
        return next(result for result in since if reason in result.reasons)

    def results(self, messages: list[tuple[str, bytes]] | None = None) -> list[AttestationResult]:
        """The verified results, oldest first."""
        keys = {cose.key_id(self.verifier.public_key()).hex(): self.verifier.public_key()}
        return [
            from_claims(jws.verify(cmw.unwrap(payload, media_types.RESULT, Indicator.ATTESTATION_RESULTS), keys))
            for topic, payload in (self.watch.messages if messages is None else messages)
            if self.topics.kind_of(topic) is TopicKind.RESULTS and payload
        ]

    # ── the truth ────────────────────────────────────────────────────────────────────────────────────────────────────

    def pushes(self) -> dict[bytes, Push]:
        """All pushes heard, by body digest; of a push heard twice, the first time."""
        heard: dict[bytes, Push] = {}
        for (topic, payload), heard_us in zip(list(self.watch.messages), self.watch.heard_us, strict=False):
            if self.topics.kind_of(topic) is not TopicKind.EVIDENCE:
                continue
            evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
            sync = parse_attest(evidence.body.sync.attest)
            push = Push(
                evidence=evidence,
                heard_us=heard_us,
                quote=parse_attest(evidence.quote).clock_info,
                sync=sync.clock_info,
                handle=sync.extra_data,
            )
            heard.setdefault(evidence.body_digest, push)
        return heard

    def handles(self) -> dict[bytes, tuple[int, int, int]]:
        """By handle id: genTime and accuracy as the token says, and when it was truly stamped."""
        found = {}
        for topic, payload in list(self.watch.messages):
            if self.topics.kind_of(topic) is TopicKind.HANDLES and payload:
                raw = cmw.unwrap(payload, media_types.HANDLE, Indicator.HANDLE)
                signed = cose.parse(raw, "handle", max_bytes=2**17)
                token = signed.unprotected[cose.HEADER_3161_CTT]
                assert isinstance(token, bytes)
                told = parse_tst_info(extract_tst_info(token))
                truly_us = self.stamped[cose.ctt_imprint(signed)]
                found[hashlib.sha256(raw).digest()] = (told.gen_time_us, told.accuracy_us, truly_us)
        return found

    def truth(self, push: Push) -> tuple[int, int]:
        """The narrowest interval that we ourselves know the quote was made in."""
        after_us, before_us = self.handles()[push.handle][2], push.heard_us
        epoch = (push.quote.reset_count, push.quote.restart_count)
        for seen in self.witnesses:
            if (seen.reset_count, seen.restart_count) != epoch:
                continue
            if push.quote.clock > seen.clock_ms:
                after_us = max(after_us, seen.before_us)
            elif push.quote.clock < seen.clock_ms:
                before_us = min(before_us, seen.after_us)
        return after_us, before_us

    def was_set(self, push: Push) -> bool:
        """Whether the clock was set between the push's sync proof and its quote."""
        return any(push.sync.clock <= before and push.quote.clock >= after for before, after in self.sets)

    def check_all(self) -> int:
        """Holds every result against the truth.

        Returns:
            how many pushes' bounds were checked.
        """
        pushes, checked = self.pushes(), set()
        for result in self.results():
            if result.evidence is None or result.evidence not in pushes:
                continue
            push = pushes[result.evidence]
            after_us, before_us = self.truth(push)
            told = f"push {result.sequence}: truly in [{after_us}, {before_us}], told {result}"
            assert after_us <= before_us, told
            assert result.received_us is not None, told
            assert result.received_us >= after_us, told
            assert result.status is not Tier.CONTRAINDICATED, told
            if result.status is Tier.AFFIRMING:
                assert result.made_after_us is not None, told
                assert result.received_us - after_us <= MAX_AGE_S * SECOND_US, told
            if self.was_set(push) or result.made_after_us is None:
                continue
            assert result.made_after_us <= before_us, told
            assert result.made_before_us is None or after_us <= result.made_before_us <= result.received_us, told
            checked.add(result.evidence)
        return len(checked)

    def widest_lie_us(self, drift_ppm: int) -> int:
        """By how much lower bounds would be wrong, at worst, for who believes the clock this good; what we can tell."""
        handles, worst_us = self.handles(), -SECOND_US * 3600
        for push in self.pushes().values():
            if (push.sync.reset_count, push.sync.restart_count) == (push.quote.reset_count, push.quote.restart_count):
                gen_us, accuracy_us, _ = handles[push.handle]
                made = quote_made(stamped(gen_us, accuracy_us), push.sync.clock, push.quote.clock, drift_ppm)
                worst_us = max(worst_us, made.after_us - self.truth(push)[1])
        return worst_us


@contextlib.contextmanager
def time_rig(
    folder: Path, *, rate: float = 1.0, tsa_offset_us: int = 0, accuracy_us: int = 0, interval_s: float = 3.0
) -> Iterator[TimeRig]:
    """Everything running, the first affirming result heard.

    Args:
        folder: empty.
        rate: of the TPM's oscillator against the true time.
        tsa_offset_us: how far the TSA's clock is off.
        accuracy_us: what it states; 0 leaves the field out.
        interval_s: of handles.
    """
    for name in ("tpm", "broker"):
        (folder / name).mkdir()
    authority = ForgedAuthority.make()
    with (
        running_swtpm(folder / "tpm", clock_rate=rate) as tpm,
        running_mosquitto(folder / "broker") as broker,
        contextlib.closing(TimeRig(folder, broker.port, tpm, authority)) as rig,
        misbehaving_tsa(rig.stamping(tsa_offset_us, accuracy_us)) as url,
    ):
        rig.configure(url, interval_s)
        rig.start("handle_distributor", "distributor")
        rig.start("verifier_worker", "verifier")
        rig.provision()
        rig.start("attester_agent", "agent")
        rig.wait(lambda results: any(each.status is Tier.AFFIRMING for each in results), "an affirming result")
        yield rig
