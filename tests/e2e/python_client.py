"""A client in another language against a running broker: the protocol as protocol/README.md has it, spoken
with Python's stock protobuf library.

    python_client.py HOST PORT [--timeout SECONDS]

Prints a line per step. Exits with 0 when all of them went well, otherwise with 1 and what was expected and
what came. Uses topics with a random token, so that it does not meet others.
"""

import argparse
import contextlib
import pathlib
import secrets
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "protocol" / "python"))
import sluice_wire  # noqa: E402

HEADERS = [("unit", "USD"), ("größe", "€"), ("unit", "again"), ("empty", "")]
# Empty, every byte there is, and longer than the broker keeps with a session while it is incomplete.
PAYLOADS = [b"", bytes(range(256)), b"142.50", bytes(range(251)) * 120]


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def expect_equal(found, wanted, what):
    expect(found == wanted, f"{what}: expected {in_a_line(wanted)}, got {in_a_line(found)}")


def in_a_line(value):
    return " ".join(repr(value).split())


class Steps:
    def __init__(self, pb, host, port, timeout_s):
        self.pb = pb
        self.topic = f"python.{secrets.token_hex(8)}"
        self._host = host
        self._port = port
        self._timeout_s = timeout_s

    def open(self):
        return sluice_wire.Session(self.pb, self._host, self._port, timeout_s=self._timeout_s)

    @contextlib.contextmanager
    def session(self, name="python_client"):
        with self.open() as session:
            session.connect(name)
            yield session

    def connect(self):
        with self.open() as session:
            connected = session.connect("python_client")
            expect_equal(connected.protocol_version, 1, "protocol_version")
            expect_equal(len(connected.session_id), 16, "bytes of session_id")
            expect(connected.inbox.startswith("$inbox."), f"an inbox below $inbox, not {connected.inbox!r}")
            expect(connected.limits.payload_bytes_max > 0, "a limit for payloads")
            expect_equal(connected.limits.topic_bytes_max, 255, "topic_bytes_max")
            expect(not connected.HasField("previous_session"), "nothing about a previous session")
            expect_equal(session.close().reason, self.pb.REASON_CLIENT_CLOSED, "reason of Goodbye")

    def publish_with_acknowledgement(self):
        with self.session() as session:
            subscribed = session.subscribe(1, f"{self.topic}.ack.*")
            expect(subscribed.overflow != 0, "Subscribed to say which overflow policy applies")
            for number in range(3):
                session.publish(f"{self.topic}.ack.{number}", b"x")
            wanted = self.pb.PublishAck(id=7, up_to=3, messages=3, matched=3, queued=3)
            expect_equal(session.acknowledge(7), wanted, "PublishAck")
            session.publish(f"{self.topic}.nobody", b"x")
            wanted = self.pb.PublishAck(id=8, up_to=4, messages=1)
            expect_equal(session.acknowledge(8), wanted, "PublishAck of a message without subscribers")
            expect_equal(session.acknowledge(9), self.pb.PublishAck(id=9, up_to=4), "PublishAck of nothing")

    def receive_in_order_and_unchanged(self):
        with self.session("publisher") as publisher, self.session("subscriber") as subscriber:
            subscriber.subscribe(1, f"{self.topic}.order.>")
            sent = []
            for number in range(200):
                headers = HEADERS if number % 3 == 0 else []
                payload = PAYLOADS[number % len(PAYLOADS)]
                sent.append(publisher.publish(f"{self.topic}.order.{number % 7}.{number}", payload, headers))
            expect_equal(publisher.acknowledge(1).queued, len(sent), "queued")
            for number, body in enumerate(sent):
                received = subscriber.next_message()
                expect_equal(received.subscription, 1, "subscription of a message")
                expect_equal(
                    received.message.topic, f"{self.topic}.order.{number % 7}.{number}", f"topic {number}"
                )
                expect(received.body == body, f"message {number} to come byte for byte as it was sent")
                headers = [(header.name, header.value) for header in received.message.headers]
                expect_equal(headers, HEADERS if number % 3 == 0 else [], f"headers of message {number}")
            expect_equal(subscriber.deliveries, 1, "Deliveries in a session with one subscription")

    def keep_subscriptions_apart(self):
        with self.session() as session:
            session.subscribe(1, f"{self.topic}.apart.*")
            session.subscribe(2, f"{self.topic}.apart.b")
            for token in ("a", "b", "a"):
                session.publish(f"{self.topic}.apart.{token}", token.encode())
            expect_equal(session.acknowledge(1).matched, 4, "matched")
            first = [session.next_message(subscription=1).message.payload for _ in range(3)]
            second = session.next_message(subscription=2).message.payload
            expect_equal((first, second), ([b"a", b"b", b"a"], b"b"), "messages of the two subscriptions")

    def request_and_reply(self):
        with self.session("asks") as asks, self.session("answers") as answers:
            answers.subscribe(1, f"{self.topic}.question")
            asks.subscribe(1, f"{asks.connected.inbox}.>")
            asks.publish(f"{self.topic}.question", b"6 * 7", reply_to=f"{asks.connected.inbox}.1")
            question = answers.next_message().message
            expect_equal(question.reply_to, f"{asks.connected.inbox}.1", "reply_to")
            answers.publish(question.reply_to, b"42")
            answer = asks.next_message().message
            expect_equal((answer.topic, answer.payload), (question.reply_to, b"42"), "the answer")

    def request_without_subscribers(self):
        with self.session() as session:
            session.publish(f"{self.topic}.nobody", b"no reply wanted")
            session.publish(f"{self.topic}.nobody", b"?", reply_to=f"{session.connected.inbox}.1")
            error = session.wait_for("error")
            expect_equal(error.code, self.pb.ERROR_CODE_NO_SUBSCRIBERS, "code of the Error")
            expect_equal(error.publish, 2, "number of the publish in the Error")
            expect_equal(session.acknowledge(1), self.pb.PublishAck(id=1, up_to=2, messages=2), "PublishAck")

    def refused_requests_leave_the_session_alone(self):
        with self.session("other") as other, self.session() as session:
            session.publish(f"{self.topic}..empty")
            error = session.wait_for("error")
            expect_equal((error.code, error.publish), (self.pb.ERROR_CODE_BAD_TOPIC, 1), "Error")
            expect(error.text, "the Error to say in words what is wrong")
            session.publish("$sys.mine")
            error = session.wait_for("error")
            expect_equal((error.code, error.publish), (self.pb.ERROR_CODE_NOT_PERMITTED, 2), "Error")
            for subscribe, code in (
                (dict(subscription=1, filter="a.>.b"), self.pb.ERROR_CODE_BAD_FILTER),
                (dict(subscription=2, filter=f"{other.connected.inbox}.>"), self.pb.ERROR_CODE_NOT_PERMITTED),
            ):
                session.send(self.pb.ClientFrame(subscribe=self.pb.Subscribe(**subscribe)))
                error = session.wait_for("error")
                expect_equal((error.code, error.subscription), (code, subscribe["subscription"]), "Error")
            session.subscribe(3, f"{self.topic}.goes.on")
            session.send(
                self.pb.ClientFrame(subscribe=self.pb.Subscribe(subscription=3, filter=f"{self.topic}.other"))
            )
            expect_equal(
                session.wait_for("error", subscription=3).code,
                self.pb.ERROR_CODE_DUPLICATE_SUBSCRIPTION,
                "code of the Error",
            )
            session.unsubscribe(99)
            expect_equal(
                session.wait_for("error", subscription=99).code,
                self.pb.ERROR_CODE_UNKNOWN_SUBSCRIPTION,
                "code of the Error",
            )
            session.publish(f"{self.topic}.goes.on", b"still here")
            wanted = self.pb.PublishAck(id=1, up_to=3, messages=3, matched=1, queued=1, refused=2)
            expect_equal(session.acknowledge(1), wanted, "PublishAck")
            expect_equal(session.next_message().message.payload, b"still here", "payload")

    def ping(self):
        with self.session() as session:
            session.subscribe(1, f"{self.topic}.ping")
            session.publish(f"{self.topic}.ping", b"before")
            expect_equal(session.ping(12345678901).id, 12345678901, "id of the pong")
            session.next_message()

    def unsubscribe(self):
        with self.session() as session:
            session.subscribe(1, f"{self.topic}.end")
            for number in range(3):
                session.publish(f"{self.topic}.end", str(number).encode())
            session.acknowledge(1)
            session.unsubscribe(1)
            ended = session.wait_for("unsubscribed", subscription=1)
            wanted = self.pb.Unsubscribed(subscription=1, reason=self.pb.REASON_UNSUBSCRIBED, offered=3)
            expect_equal(ended, wanted, "Unsubscribed")
            expect_equal(session.received[1], 3, "messages received when Unsubscribed came")
            session.publish(f"{self.topic}.end", b"too late")
            expect_equal(session.acknowledge(2).matched, 0, "matched after Unsubscribed")
            # The id is free again.
            session.subscribe(1, f"{self.topic}.end")
            session.publish(f"{self.topic}.end", b"3")
            payloads = [session.next_message().message.payload for _ in range(4)]
            expect_equal(payloads, [b"0", b"1", b"2", b"3"], "payloads")

    def unsubscribe_after_messages(self):
        with self.session() as session:
            session.subscribe(5, f"{self.topic}.count")
            session.unsubscribe(5, after_messages=2)
            session.ping(1)
            for number in range(4):
                session.publish(f"{self.topic}.count", str(number).encode())
            ended = session.wait_for("unsubscribed", subscription=5)
            wanted = self.pb.Unsubscribed(subscription=5, reason=self.pb.REASON_COUNT_REACHED, offered=2)
            expect_equal(ended, wanted, "Unsubscribed")
            expect_equal(session.received[5], 2, "messages received when Unsubscribed came")
            expect_equal(session.acknowledge(1).matched, 2, "matched")

    def graceful_close(self):
        with self.session("publisher") as publisher, self.session("leaves") as leaves:
            leaves.subscribe(1, f"{self.topic}.leave.>")
            leaves.subscribe(2, f"{self.topic}.quiet")
            for number in range(50):
                publisher.publish(f"{self.topic}.leave.{number}", PAYLOADS[1])
            publisher.acknowledge(1)
            leaves.publish(f"{self.topic}.leave.last", b"just before the end")
            goodbye = leaves.close()
            expect_equal(goodbye.reason, self.pb.REASON_CLIENT_CLOSED, "reason of Goodbye")
            expect_equal(leaves.messages_waiting(), 51, "messages received before Goodbye")
            books = {record.subscription: record.offered for record in goodbye.subscriptions}
            expect_equal(books, {1: 51, 2: 0}, "messages offered, by subscription")
            self.left = leaves.connected.session_id

    def record_of_the_previous_session(self):
        with self.open() as session:
            record = session.connect("back again", previous_session=self.left).previous_session
            expect_equal(record.goodbye.reason, self.pb.REASON_CLIENT_CLOSED, "reason in the record")
            books = {entry.subscription: entry.offered for entry in record.goodbye.subscriptions}
            expect_equal(books, {1: 51, 2: 0}, "messages offered, by subscription, in the record")
            expect_equal(record.cuts_in_a_row, 0, "cuts_in_a_row")

    def misbehaviour_ends_with_a_reason(self):
        pb = self.pb
        message = pb.ClientFrame(message=pb.Message(topic="t")).SerializeToString()
        goodbye = pb.ServerFrame(goodbye=pb.Goodbye(reason=pb.REASON_KICKED)).SerializeToString()
        ping = pb.ClientFrame(ping=pb.Ping(id=1)).SerializeToString()
        for what, connect_first, sent, code in (
            ("a message before Connect", False, message, pb.ERROR_CODE_NOT_CONNECTED),
            ("a ping before Connect", False, ping, pb.ERROR_CODE_NOT_CONNECTED),
            ("a name that is not UTF-8", False, bytes.fromhex("12 04 12 02 ff fe"), pb.ERROR_CODE_BAD_FRAME),
            ("no protobuf", False, b"\xff\xff\xff", pb.ERROR_CODE_BAD_FRAME),
            ("a Goodbye behind a message", True, message + goodbye, pb.ERROR_CODE_BAD_FRAME),
            ("a message behind a ping", True, ping + message, pb.ERROR_CODE_BAD_FRAME),
            ("a frame of the broker", True, goodbye, pb.ERROR_CODE_BAD_FRAME),
            ("an empty frame", True, b"", pb.ERROR_CODE_BAD_FRAME),
        ):
            with self.open() as session:
                if connect_first:
                    session.connect()
                session.send(sent)
                try:
                    expect_equal(session.wait_for("error").code, code, f"code of the Error for {what}")
                    reason = session.wait_for_end().reason
                except sluice_wire.WireError as error:
                    raise Failed(f"{what}: {error}") from error
                expect_equal(reason, pb.REASON_PROTOCOL_ERROR, f"reason of Goodbye for {what}")

    ALL = (
        connect,
        publish_with_acknowledgement,
        receive_in_order_and_unchanged,
        keep_subscriptions_apart,
        request_and_reply,
        request_without_subscribers,
        refused_requests_leave_the_session_alone,
        ping,
        unsubscribe,
        unsubscribe_after_messages,
        graceful_close,
        record_of_the_previous_session,
        misbehaviour_ends_with_a_reason,
    )


def main():
    parser = argparse.ArgumentParser(description="Speaks the Sluice protocol to a running broker.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for any answer")
    options = parser.parse_args()
    steps = Steps(sluice_wire.load_protocol(), options.host, options.port, options.timeout)
    for step in Steps.ALL:
        name = step.__name__.replace("_", " ")
        try:
            step(steps)
        except (Failed, sluice_wire.WireError, OSError) as error:
            frames = traceback.extract_tb(error.__traceback__)
            line = next(frame.lineno for frame in reversed(frames) if frame.name == step.__name__)
            print(f"FAILED {name}: {error} (line {line})", flush=True)
            return 1
        print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
