"""A consumer that subscribes and never reads, and a publisher that sends it what the standard input asks for.

    slow_consumer.py HOST PORT NAME TOPIC

Says "subscribed", then for each line "COUNT" on its input publishes so many messages of 1 KiB and says "published N",
with the number of all. Ends at the end of the input.
"""

import argparse
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "protocol" / "python"))
import sluice_wire  # noqa: E402

TIMEOUT_S = 120
SUBSCRIPTION = 1
PAYLOAD = bytes(1024)


class SlowSession(sluice_wire.Session):
    """Has next to no room in the kernel, so that the broker must keep what it sends."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("name")
    parser.add_argument("topic")
    options = parser.parse_args()
    protocol = sluice_wire.load_protocol()
    where = (protocol, options.host, options.port, TIMEOUT_S)
    with SlowSession(*where) as consumer, sluice_wire.Session(*where) as publisher:
        consumer.connect(options.name)
        consumer.subscribe(SUBSCRIPTION, options.topic, overflow=protocol.OVERFLOW_POLICY_DISCONNECT)
        publisher.connect("feed")
        print("subscribed", flush=True)
        for asks, line in enumerate(sys.stdin, start=1):
            for _ in range(int(line)):
                publisher.publish(options.topic, PAYLOAD)
            publisher.acknowledge(asks)
            print(f"published {publisher.published}", flush=True)


if __name__ == "__main__":
    main()
