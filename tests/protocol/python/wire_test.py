"""The protocol from the point of view of another language: Python's stock protobuf library writes what our
C++ code reads, reads what it writes, and finds the worked example of protocol/README.md to be what it says.

Needs the environment of ctest: PROTOC, SLUICE_WIRE_HELPER. SLUICE_TEST_SEED repeats a run with random frames.
"""

import os
import random
import subprocess
import unittest

import sluice_wire

pb = sluice_wire.load_protocol()
SEED = int(os.environ.get("SLUICE_TEST_SEED", "20261103"))


def pass_through_cpp(sender, bodies):
    """What the C++ code reads and writes again, one body for each; empty for what it refuses."""
    helper = subprocess.run(
        [os.environ["SLUICE_WIRE_HELPER"], sender],
        input=b"".join(map(sluice_wire.encode_frame, bodies)),
        stdout=subprocess.PIPE,
        check=True,
    )
    reader = sluice_wire.FrameReader()
    reader.feed(helper.stdout)
    passed = []
    while (body := reader.next_body()) is not None:
        passed.append(body)
    assert reader.is_empty() and len(passed) == len(bodies)
    return passed


class RandomFrames:
    """Frames with every field set, or not, to something random; reproducible by the seed."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def frame(self, frame_type):
        frame = frame_type()
        member = self._random.choice(frame_type.DESCRIPTOR.fields)
        inner = getattr(frame, member.name)
        inner.SetInParent()
        self._fill(inner)
        if member.name == "message":
            inner.topic = self._topic()
            inner.reply_to = self._random.choice(["", self._topic()])
            for header in inner.headers:
                header.name = header.name or "name"
        return frame

    def _fill(self, message):
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.2:
                continue
            if field.label == field.LABEL_REPEATED:
                for _ in range(self._random.randrange(4)):
                    self._fill(getattr(message, field.name).add())
            elif field.type == field.TYPE_MESSAGE:
                getattr(message, field.name).SetInParent()
                self._fill(getattr(message, field.name))
            else:
                setattr(message, field.name, self._value(field))

    def _value(self, field):
        if field.type == field.TYPE_STRING:
            return self._text()
        if field.type == field.TYPE_BYTES:
            sizes = [0, 1, 16, 127, 128, 300]
            if field.name == "payload":  # a client's control frame has at most 16 KiB
                sizes += [20_000, 70_000]
            return self._random.randbytes(self._random.choice(sizes))
        if field.type == field.TYPE_ENUM:  # also numbers that this version does not know
            return self._random.choice([value.number for value in field.enum_type.values] + [9999])
        if field.type == field.TYPE_BOOL:
            return self._random.random() < 0.5
        bits = {field.TYPE_UINT32: 32, field.TYPE_UINT64: 64}[field.type]
        return self._random.getrandbits(self._random.randrange(bits + 1))

    def _text(self):
        alphabet = "az \n\0\"\\äß€\u2028\U0001d11e\U0010ffff"
        return "".join(self._random.choices(alphabet, k=self._random.choice([0, 1, 5, 40, 200])))

    def _topic(self):
        tokens = ["$inbox", "ticks", "nyse", "größe", "€", "x" * 20]
        return ".".join(self._random.choices(tokens, k=self._random.randrange(1, 9)))


class RandomFramesTest(unittest.TestCase):
    def test_cpp_reads_what_python_writes_and_python_reads_what_cpp_writes(self):
        for sender, frame_type in (("client", pb.ClientFrame), ("server", pb.ServerFrame)):
            frames = [RandomFrames(f"{SEED} {sender} {i}").frame(frame_type) for i in range(2000)]
            kinds = {frame.WhichOneof("frame") for frame in frames}
            self.assertEqual(kinds, {field.name for field in frame_type.DESCRIPTOR.fields})
            passed = pass_through_cpp(sender, [frame.SerializeToString() for frame in frames])
            for number, (frame, body) in enumerate(zip(frames, passed)):
                frame_was = f"seed {SEED}, {sender}'s frame {number}, {frame.WhichOneof('frame')}"
                self.assertEqual(body, frame.SerializeToString(), frame_was)
                self.assertEqual(frame_type.FromString(body), frame, frame_was)


class PublishTest(unittest.TestCase):
    def refused(self, body):
        return pass_through_cpp("client", [body]) == [b""]

    def test_a_message_with_every_field_that_there_is_passes_the_check(self):
        """A field that sluice.proto gains and CheckPublish does not know is found here."""
        message = pb.Message()
        for field in message.DESCRIPTOR.fields:
            if field.label == field.LABEL_REPEATED:
                header = getattr(message, field.name).add()
                for inner in header.DESCRIPTOR.fields:
                    setattr(header, inner.name, "x")
            else:
                setattr(message, field.name, b"x" if field.type == field.TYPE_BYTES else "x")
        body = pb.ClientFrame(message=message).SerializeToString()
        self.assertEqual(pass_through_cpp("client", [body]), [body])

    def test_nothing_may_stand_beside_a_message(self):
        body = pb.ClientFrame(message=pb.Message(topic="t")).SerializeToString()
        goodbye = pb.ServerFrame(goodbye=pb.Goodbye(reason=pb.REASON_KICKED)).SerializeToString()
        self.assertFalse(self.refused(body))
        self.assertTrue(self.refused(body + goodbye))
        self.assertTrue(self.refused(goodbye + body))
        self.assertTrue(self.refused(pb.ClientFrame(ping=pb.Ping(id=1)).SerializeToString() + body))

    def test_a_field_of_the_brokers_may_not_stand_in_a_message(self):
        inside = pb.Message(topic="t").SerializeToString() + bytes.fromhex("82 01 01 78")  # 16, bytes
        self.assertTrue(self.refused(bytes([0x0A, len(inside)]) + inside))


class WorkedExampleTest(unittest.TestCase):
    def setUp(self):
        self.frames = []
        for sender, encoded in sluice_wire.read_worked_example():
            reader = sluice_wire.FrameReader()
            for byte in encoded[:-1]:  # as it may arrive
                reader.feed(bytes([byte]))
                self.assertIsNone(reader.next_body())
            reader.feed(encoded[-1:])
            body = reader.next_body()
            self.assertTrue(reader.is_empty())
            frame_type = pb.ClientFrame if sender == "C" else pb.ServerFrame
            self.frames.append((sender, body, frame_type.FromString(body)))

    def test_it_is_the_conversation_that_the_page_tells(self):
        self.assertEqual(
            [(sender, frame.WhichOneof("frame")) for sender, _, frame in self.frames],
            [
                ("C", "connect"),
                ("S", "connected"),
                ("C", "subscribe"),
                ("S", "subscribed"),
                ("C", "message"),
                ("C", "ack_request"),
                ("S", "publish_ack"),
                ("S", "delivery"),
                ("S", "message"),
                ("S", "goodbye"),
            ],
        )
        frames = [frame for _, _, frame in self.frames]
        self.assertEqual(frames[0].connect, pb.Connect(protocol_version=1, client_name="demo"))
        self.assertEqual(frames[1].connected.inbox, "$inbox.k7Qw")
        self.assertEqual(frames[1].connected.session_id, bytes(range(16)))
        self.assertEqual(frames[4].message.payload, b"142.50")
        self.assertEqual(frames[8].message.headers[0], pb.Header(name="unit", value="USD"))
        self.assertEqual(frames[6].publish_ack, pb.PublishAck(id=1, up_to=1, messages=1, matched=1, queued=1))
        self.assertEqual(frames[9].goodbye.reason, pb.REASON_CLIENT_CLOSED)
        self.assertEqual(frames[9].goodbye.subscriptions[0].offered, 1)

    def test_python_and_cpp_write_the_same_bytes(self):
        for sender, name in (("C", "client"), ("S", "server")):
            bodies = [body for who, body, _ in self.frames if who == sender]
            self.assertEqual(pass_through_cpp(name, bodies), bodies)
        for _, body, frame in self.frames:
            self.assertEqual(frame.SerializeToString(), body)


class FrameReaderTest(unittest.TestCase):
    def test_refuses_long_and_padded_lengths(self):
        for length in ("80 80 80 80", "ff ff ff ff 01", "80 00", "ff 80 00"):
            reader = sluice_wire.FrameReader()
            reader.feed(bytes.fromhex(length))
            with self.assertRaises(sluice_wire.WireError, msg=length):
                reader.next_body()

    def test_reads_frames_of_every_length_of_length(self):
        reader = sluice_wire.FrameReader()
        sizes = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]
        for size in sizes:
            reader.feed(sluice_wire.encode_frame(bytes(size)))
        self.assertEqual([len(reader.next_body()) for _ in sizes], sizes)
        self.assertIsNone(reader.next_body())


if __name__ == "__main__":
    unittest.main()
