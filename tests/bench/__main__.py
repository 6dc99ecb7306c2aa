"""``./run bench``: every benchmark, as ratios to floors measured in the same run."""

import argparse
import sys

from tests.bench.core import BOOT_LOG_EVENTS, measure_boot_log, measure_references, measure_replay, measure_step
from tests.bench.increments import measure_increments
from tests.bench.pipeline import measure_pipeline
from tests.bench.statements import measure_statements
from tests.bench.table import show

HEARTBEAT_BUDGET_BYTES = 700
BOOT_LOG_BUDGET_MS = 2.0
TOPIC_BYTES = 70  # attestream/v1/evidence/PP/UEID, and the MQTT header


def main() -> int:
    """Measures and prints; exit status 0 whatever the numbers are."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages: a look, not a measurement")
    scale = 10 if parser.parse_args().quick else 1
    sys.stderr.write("step against its cryptographic floor …\n")
    measured_step, heartbeat_bytes = measure_step(5_000 // scale)
    sys.stderr.write("IMA replay …\n")
    measurements = [measured_step, measure_replay(100_000 // scale)]
    sys.stderr.write("reference values …\n")
    measurements.append(measure_references(100_000 // scale))
    sys.stderr.write("boot log …\n")
    boot_log = measure_boot_log(500 // scale)
    sys.stderr.write("broker to broker …\n")
    measurements += measure_pipeline(10_000 // scale, measured_step.floor_rate)
    sys.stderr.write("increments after a short and a long log …\n")
    print(show(measurements))
    print(measure_increments(1_000_000 // scale))
    sys.stderr.write("statements of what is current …\n")
    print(measure_statements(100_000 // scale))
    print(f"heartbeat push: about {heartbeat_bytes + TOPIC_BYTES} bytes on the wire, budget {HEARTBEAT_BUDGET_BYTES}")
    verdict = "met" if boot_log.replay_ms + boot_log.facts_ms <= BOOT_LOG_BUDGET_MS else "EXCEEDED"
    times = f"parsed and replayed in {boot_log.replay_ms:.2f} ms, facts in {boot_log.facts_ms:.2f} ms"
    print(f"boot log of {BOOT_LOG_EVENTS} events: {times}; budget {BOOT_LOG_BUDGET_MS:.0f} ms  {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
