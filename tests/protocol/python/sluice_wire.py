"""Speaks the Sluice protocol (protocol/README.md) with Python's stock protobuf library.

    pb = load_protocol()
    session = Session(pb, "127.0.0.1", 7584)
    session.connect()
    session.subscribe(1, "ticks.>")
    session.publish("ticks.IBM", b"142.50")
    print(session.next_message().message.payload)
    goodbye = session.close()

Blocking, one thread, no reconnect: for tests, and as the shortest example of a client.
"""

import collections
import importlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import google.protobuf.message

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]

PREFIX_BYTES_MAX = 4


class WireError(Exception):
    """What the other side sent is not what the protocol says."""


def load_protocol(protoc=None, root=REPOSITORY):
    """Generates the module for protocol/sluice.proto with protoc and imports it."""
    protoc = protoc or os.environ.get("PROTOC", "protoc")
    generated = tempfile.TemporaryDirectory(prefix="sluice_pb2_")
    command = [protoc, f"--proto_path={root}", f"--python_out={generated.name}", "protocol/sluice.proto"]
    subprocess.run(command, check=True)
    sys.path.insert(0, generated.name)
    try:
        return importlib.import_module("protocol.sluice_pb2")
    finally:
        sys.path.remove(generated.name)
        generated.cleanup()


def encode_varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_frame(frame):
    """A ClientFrame or ServerFrame (or the bytes of one) with its length in front."""
    body = frame if isinstance(frame, bytes) else frame.SerializeToString()
    return encode_varint(len(body)) + body


class FrameReader:
    """Cuts a stream into the bodies of its frames, however its bytes arrive."""

    def __init__(self):
        self._received = bytearray()

    def feed(self, received):
        self._received += received

    def next_body(self):
        """The body of the next frame, or None while it has not arrived completely."""
        length = 0
        for at, byte in enumerate(self._received[:PREFIX_BYTES_MAX]):
            length |= (byte & 0x7F) << (7 * at)
            if byte < 0x80:
                if byte == 0 and at > 0:
                    raise WireError("the length of a frame is padded")
                begin = at + 1
                break
        else:
            if len(self._received) >= PREFIX_BYTES_MAX:
                raise WireError("the length of a frame has more than four bytes")
            return None
        if len(self._received) < begin + length:
            return None
        body = bytes(self._received[begin : begin + length])
        del self._received[: begin + length]
        return body

    def is_empty(self):
        return not self._received


def read_worked_example(readme=REPOSITORY / "protocol" / "README.md"):
    """The frames of the block marked "hex", with their lengths, as (sender, bytes); the sender is C or S."""
    frames = []
    inside = False
    for line in pathlib.Path(readme).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```hex"
        elif inside:
            if line[:1] in ("C", "S"):
                frames.append((line[0], bytearray()))
                line = line[1:]
            frames[-1][1].extend(bytes.fromhex(line.split("#")[0]))
    return [(sender, bytes(encoded)) for sender, encoded in frames]


# A message as it came: for which subscription, parsed, and the very bytes of its frame's body.
Received = collections.namedtuple("Received", "subscription message body")


class Session:
    """One connection. Frames that come while another one is waited for are kept for their own turn.

    An Error fails whatever waits for something else, and so does Goodbye: as a WireError that quotes it.
    """

    def __init__(self, pb, host, port, timeout_s=10.0):
        self.pb = pb
        self.connected = None
        self.published = 0
        # Per subscription: messages received, and told missing by Gaps.
        self.received = collections.Counter()
        self.missing = collections.Counter()
        # How often Delivery said whose messages follow.
        self.deliveries = 0
        self._timeout_s = timeout_s
        self._reader = FrameReader()
        self._waiting = collections.deque()
        self._current_subscription = 0
        self._socket = socket.create_connection((host, port), timeout=timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, *frames):
        """Frames, or the bytes of bodies."""
        self._socket.settimeout(self._timeout_s)
        self._socket.sendall(b"".join(encode_frame(frame) for frame in frames))

    def send_raw(self, data):
        self._socket.settimeout(self._timeout_s)
        self._socket.sendall(data)

    # What a client may ask, and the answer to it.

    def connect(self, name="sluice_wire", previous_session=b""):
        connect = self.pb.Connect(
            protocol_version=1,
            client_name=name,
            client_library="sluice_wire.py",
            previous_session=previous_session,
        )
        self.send(self.pb.ClientFrame(connect=connect))
        self.connected = self.wait_for("connected")
        return self.connected

    def subscribe(self, subscription, topic_filter, **options):
        subscribe = self.pb.Subscribe(subscription=subscription, filter=topic_filter, **options)
        self.send(self.pb.ClientFrame(subscribe=subscribe))
        return self.wait_for("subscribed", subscription=subscription)

    def unsubscribe(self, subscription, after_messages=0):
        """Asks; Unsubscribed comes behind the last message."""
        unsubscribe = self.pb.Unsubscribe(subscription=subscription, after_messages=after_messages)
        self.send(self.pb.ClientFrame(unsubscribe=unsubscribe))

    def publish(self, topic, payload=b"", headers=(), reply_to=""):
        """Returns the body of the frame that was sent; its number is self.published."""
        message = self.pb.Message(topic=topic, payload=payload, reply_to=reply_to)
        for name, value in headers:
            message.headers.add(name=name, value=value)
        body = self.pb.ClientFrame(message=message).SerializeToString()
        self.send(body)
        self.published += 1
        return body

    def acknowledge(self, ack_id):
        self.send(self.pb.ClientFrame(ack_request=self.pb.AckRequest(id=ack_id)))
        return self.wait_for("publish_ack", id=ack_id)

    def ping(self, ping_id):
        self.send(self.pb.ClientFrame(ping=self.pb.Ping(id=ping_id)))
        return self.wait_for("server_pong", id=ping_id)

    def close(self):
        """Shuts down the write side and reads to the end of the stream. Returns the Goodbye."""
        self._socket.shutdown(socket.SHUT_WR)
        return self.wait_for_end()

    # What came.

    def next_message(self, subscription=None):
        """The next message, or the next one of this subscription."""

        def wanted(item):
            return isinstance(item, Received) and subscription in (None, item.subscription)

        return self._take(wanted, "a message" + (f" of subscription {subscription}" if subscription else ""))

    def wait_for(self, kind, **fields):
        """The next frame of this kind whose fields have these values, without its wrapping."""

        def wanted(item):
            if isinstance(item, Received) or item.WhichOneof("frame") != kind:
                return False
            inner = getattr(item, kind)
            return all(getattr(inner, name) == value for name, value in fields.items())

        described = kind + "".join(f" {name}={value}" for name, value in fields.items())
        return getattr(self._take(wanted, described), kind)

    def messages_waiting(self):
        """How many messages came while something else was waited for."""
        return sum(isinstance(item, Received) for item in self._waiting)

    def wait_for_end(self):
        """Reads to the end of the stream, keeping what comes. Returns the Goodbye, which must be the last."""
        deadline = time.monotonic() + self._timeout_s
        goodbye = None
        while (item := self._read(deadline)) is not None:
            if goodbye is not None:
                raise WireError(f"a frame came behind Goodbye: {_show(item)}")
            if not isinstance(item, Received) and item.WhichOneof("frame") == "goodbye":
                goodbye = item.goodbye
            else:
                self._waiting.append(item)
        if not self._reader.is_empty():
            raise WireError("the stream ends inside a frame")
        if goodbye is None:
            raise WireError("the stream ends without Goodbye")
        return goodbye

    def _take(self, wanted, described):
        for at, item in enumerate(self._waiting):
            if wanted(item):
                del self._waiting[at]
                return item
        deadline = time.monotonic() + self._timeout_s
        while (item := self._read(deadline, described)) is not None:
            if wanted(item):
                return item
            if not isinstance(item, Received) and item.WhichOneof("frame") in ("error", "goodbye"):
                raise WireError(f"waited for {described}, but got {_show(item)}")
            self._waiting.append(item)
        raise WireError(f"waited for {described}, but the stream ended; kept: {self._show_waiting()}")

    def _read(self, deadline, described="the end of the stream"):
        """The next frame that is not dealt with here, or None at the end of the stream."""
        while True:
            while (body := self._reader.next_body()) is None:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    received = self._socket.recv(1 << 16)
                except (socket.timeout, BlockingIOError):
                    raise WireError(
                        f"waited {self._timeout_s:g} s for {described}; kept: {self._show_waiting()}"
                    ) from None
                if not received:
                    return None
                self._reader.feed(received)
            item = self._receive(body)
            if item is not None:
                return item

    def _receive(self, body):
        try:
            frame = self.pb.ServerFrame.FromString(body)
        except google.protobuf.message.DecodeError as error:
            raise WireError(f"a frame is no ServerFrame: {body[:40].hex(' ')}: {error}") from error
        kind = frame.WhichOneof("frame")
        if kind == "message":
            if self._current_subscription == 0:
                raise WireError("a message came before any Delivery")
            self.received[self._current_subscription] += 1
            return Received(self._current_subscription, frame.message, body)
        if kind == "delivery":
            self._current_subscription = frame.delivery.subscription
            self.deliveries += 1
            return None
        if kind == "gap":
            self.missing[frame.gap.subscription] += frame.gap.messages
        if kind == "server_ping":
            self.send(self.pb.ClientFrame(pong=self.pb.Pong(id=frame.server_ping.id)))
            return None
        if kind is None:  # a later broker says more than this client understands
            return None
        return frame

    def _show_waiting(self):
        return "; ".join(_show(item) for item in list(self._waiting)[:10]) or "nothing"


def _show(item):
    if isinstance(item, Received):
        return f"message {item.message.topic!r} of subscription {item.subscription}"
    return " ".join(str(item).split())
