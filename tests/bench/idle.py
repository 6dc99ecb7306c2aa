"""A subscriber to all evidence that does nothing but acknowledge by hand: the floor of the pipeline."""

import sys
import threading

from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from schemas.topics import Topics


def main() -> None:
    """``python -m tests.bench.idle PORT COUNT``: says on ``…/idle`` when it is ready and when COUNT have come."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    settings, topics, done, seen = MqttSettings(port=port), Topics(), threading.Event(), [0]

    def received(message: Message) -> None:
        connection.ack(message)
        seen[0] += 1
        if seen[0] == count:
            connection.publish(f"{topics.root}/idle/done", b"done")
            done.set()

    def ready() -> None:
        connection.publish(f"{topics.root}/idle/ready", b"ready")

    session = Session(client_id="idle", subscriptions=(topics.all_evidence,), manual_ack=True)
    connection = MqttConnection(
        settings,
        session,
        on_message=received,
        on_connected=ready,
    )
    connection.start()
    done.wait(300)
    threading.Event().wait(5)  # the parent ends it before
    connection.stop()


if __name__ == "__main__":
    main()
