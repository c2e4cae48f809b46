"""Writes the seed corpus of the fuzz targets: tests/fuzz/corpus/TARGET/NAME, one small input each.

    make_corpus.py            writes what is missing or different
    make_corpus.py --check    fails if the corpus is not what would be written

Files whose name begins with "found_" are inputs that a fuzzer or a bug left behind; the script does not touch
them.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "protocol" / "python"))
import sluice_wire  # noqa: E402

pb = sluice_wire.load_protocol()


def field(number, inside):
    """A length-delimited field."""
    return sluice_wire.encode_varint(number << 3 | 2) + sluice_wire.encode_varint(len(inside)) + inside


def publish(**fields):
    return pb.ClientFrame(message=pb.Message(**fields)).SerializeToString()


def headers(*pairs):
    return [pb.Header(name=name, value=value) for name, value in pairs]


def server(**member):
    return pb.ServerFrame(**member).SerializeToString()


def client(**member):
    return pb.ClientFrame(**member).SerializeToString()


TOPIC = field(1, b"a.b")
GOODBYE = server(goodbye=pb.Goodbye(reason=pb.REASON_KICKED, text="bye"))
LIMITS = pb.SubscriptionLimits(pending_bytes_max=8 << 20, pending_messages_max=131072)

MESSAGES = {
    "topic_only": publish(topic="t"),
    "empty": publish(),
    "payload": publish(topic="ticks.nyse.IBM", payload=b"142.50"),
    "binary_payload": publish(topic="t", payload=bytes(range(256))),
    "all_fields": publish(
        topic="ticks.größe.€",
        payload=b"\x00\xff",
        reply_to="$inbox.k7Qw.1",
        headers=headers(("unit", "USD"), ("unit", ""), ("größe", "€")),
    ),
    "long_lengths": publish(topic="t" * 200, payload=b"p" * 300, headers=headers(("n" * 130, "v" * 140))),
    "fields_reversed": field(1, field(4, field(2, b"v") + field(1, b"n")) + field(2, b"p") + TOPIC),
    "explicit_empty_fields": field(1, TOPIC + field(2, b"") + field(3, b"")),
    "header_without_name": publish(topic="t", headers=headers(("", "v"))),
    "header_name_twice": field(1, TOPIC + field(4, field(1, b"n") + field(1, b"m"))),
    "header_with_unknown_field": field(1, TOPIC + field(4, field(1, b"n") + field(3, b"x"))),
    "headers_over_the_limit": publish(topic="t", headers=headers(*[("name", "value")] * 3)),
    "topic_with_wildcard": publish(topic="a.*"),
    "topic_with_empty_token": publish(topic="a..b"),
    "topic_of_33_tokens": publish(topic=".".join("t" * 33)),
    "topic_of_256_bytes": publish(topic="t" * 256),
    "topic_not_utf8": field(1, field(1, b"\xed\xa0\x80")),
    "reply_to_with_wildcard": publish(topic="t", reply_to=">"),
    "reply_to_not_utf8": field(1, TOPIC + field(3, b"\xff")),
    "topic_twice": field(1, TOPIC + TOPIC),
    "payload_twice": field(1, TOPIC + field(2, b"p") + field(2, b"q")),
    "unknown_field": field(1, TOPIC + field(5, b"x")),
    "field_of_the_broker": field(1, TOPIC + field(16, b"x")),
    "varint_for_a_string": field(1, b"\x08\x01" + TOPIC),
    "group": field(1, TOPIC + b"\x2b\x2c"),
    "padded_inner_length": field(1, b"\x0a\x81\x00t"),
    "padded_outer_length": b"\x0a\x85\x00" + TOPIC,
    "padded_tag": b"\x8a\x00" + b"\x05" + TOPIC,
    "overlong_length": b"\x0a\xff\xff\xff\xff\x7f" + TOPIC,
    "truncated": publish(topic="ticks.nyse.IBM", payload=b"142.50")[:-3],
    "goodbye_behind": publish(topic="t") + GOODBYE,
    "goodbye_in_front": GOODBYE + publish(topic="t"),
    "twice": publish(topic="t") + publish(topic="u"),
    "zero_behind": publish(topic="t") + b"\x00",
    "ping": client(ping=pb.Ping(id=7)),
}

BROKERS_PART = {
    "brokers_varint": publish(topic="t") + bytes.fromhex("c002 ff01"),
    "brokers_bytes": publish(topic="t") + field(41, b"stream"),
    "brokers_fixed": publish(topic="t") + bytes.fromhex("f902 0102030405060708 fd02 01020304"),
    "brokers_truncated": publish(topic="t") + field(41, b"stream")[:-1],
    "brokers_group": publish(topic="t") + bytes.fromhex("c302 c402"),
    "brokers_neighbours": publish(topic="t") + bytes.fromhex("b802 01"),
    "brokers_and_goodbye": publish(topic="t") + field(41, b"stream") + GOODBYE,
}

CONTROL = {
    "connect": client(
        connect=pb.Connect(protocol_version=1, client_name="demo", client_library="sluice 0.1")
    ),
    "connect_again": client(connect=pb.Connect(protocol_version=2, previous_session=bytes(range(16)))),
    "connect_hostile_name": client(connect=pb.Connect(client_name="a\n\x1b[0m\"\\\u009b")),
    "connect_not_utf8": field(2, field(2, b"\xff\xfe")),
    "subscribe": client(subscribe=pb.Subscribe(subscription=1, filter="ticks.>")),
    "subscribe_all": client(
        subscribe=pb.Subscribe(
            subscription=2**32 - 1, filter="*.b", queue_group="q", overflow=4, limits=LIMITS
        )
    ),
    "subscribe_unknown_policy": client(subscribe=pb.Subscribe(subscription=1, filter="a", overflow=99)),
    "unsubscribe": client(unsubscribe=pb.Unsubscribe(subscription=1, after_messages=2**64 - 1)),
    "subscribe_window": client(subscribe=pb.Subscribe(subscription=1, filter="a", window_bytes=2**64 - 1)),
    "credit": client(credit=pb.Credit(subscription=1, granted_bytes=2**64 - 1)),
    "ack_request": client(ack_request=pb.AckRequest(id=1)),
    "ping": client(ping=pb.Ping(id=7)),
    "pong": client(pong=pb.Pong(id=7)),
    "empty_ping": client(ping=pb.Ping()),
    "empty": b"",
    "unknown": field(103, b"x"),
    "unknown_behind": client(ping=pb.Ping(id=7)) + field(103, b"x"),
    "unknown_group": client(ping=pb.Ping(id=7)) + b"\xbb\x06\xbc\x06",
    "nested_groups": b"\xbb\x06" * 120,
    "two_members": client(ping=pb.Ping(id=7)) + client(pong=pb.Pong(id=8)),
    "message_behind": client(ping=pb.Ping(id=7)) + publish(topic="t"),
    "message": publish(topic="t"),
    "goodbye": GOODBYE,
}

EXAMPLE = sluice_wire.read_worked_example()

FRAMES = {
    "worked_example_client": b"".join(encoded for sender, encoded in EXAMPLE if sender == "C"),
    "worked_example_server": b"".join(encoded for sender, encoded in EXAMPLE if sender == "S"),
    "empty_frames": bytes(5),
    "small_frames": b"".join(sluice_wire.encode_frame(bytes([65 + size]) * size) for size in range(10)),
    "length_127": sluice_wire.encode_frame(b"x" * 127),
    "length_128": sluice_wire.encode_frame(b"x" * 128) + b"\x01y",
    "padded": b"\x01a\x81\x00b",
    "five_bytes": b"\x01a\xff\xff\xff\xff\x01",
    "largest": b"\xff\xff\xff\x7f",
    "incomplete_length": b"\x00\x80\x80",
    "incomplete_body": b"\x02ab\x05cd",
}

TOPICS = {
    "match": b"ticks.*.IBM\nticks.nyse.IBM",
    "too_short": b"ticks.*.IBM\nticks.IBM",
    "too_long": b"ticks.*.IBM\nticks.nyse.IBM.bid",
    "tail": b"ticks.>\nticks.a.b",
    "tail_of_nothing": b"ticks.>\nticks",
    "everything": b">\na.b.c",
    "everything_but_the_brokers": b">\n$inbox.x",
    "star_but_the_brokers": b"*.x\n$inbox.x",
    "brokers": b"$inbox.*\n$inbox.x",
    "stars": b"*.*.*\na.b.c",
    "utf8": "größe.*\ngröße.€".encode(),
    "surrogate": b"\xed\xa0\x80\n\xf4\x90\x80\x80",
    "overlong": b"\xc0\xaf\n\xe0\x80\xaf",
    "four_bytes": "\U0010ffff\n\U0001d11e".encode(),
    "tail_in_the_middle": b"a.>.b\na.x.b",
    "star_within": b"a*\nab",
    "empty_tokens": b".a\na..b",
    "empty": b"\n",
    "space_and_control": b"a b\na\x01\x7f",
    "zero_byte": b"a\0b",
    "c1_control": "a\u009bb".encode(),
    "32_tokens": b".".join([b"*"] * 32) + b"\n" + b".".join([b"t"] * 32),
    "33_tokens": b".".join([b"t"] * 33),
    "255_bytes": b"t" * 255,
    "256_bytes": b"t" * 256,
}

CONFIGS = {
    "empty": "",
    "comment": "# nothing\n",
    "listen": 'listen = "127.0.0.1:0"\nhttp = "off"\nports_file = "/tmp/p\\"\\\\ä"\n',
    "all_kinds": 'shards = 2\n[log]\nlevel = "debug"\nformat = "json"\n[limits]\nmax_message = "4MiB"\n'
    'connections_max = 10\npending_age_max = 0\n[timeouts]\nwrite_timeout = "1m30s"\n',
    "number_for_bytes": "[limits]\nmax_message = 65536\n",
    "raises_defaults": '[limits]\nmax_message = "64MiB"\n',
    "contradiction": '[limits]\nmax_message = "64MiB"\npending_bytes_max = "1MiB"\n',
    "unknown_key": '[limits]\nmax_mesage = "4MiB"\n"\\u001b[0m" = 1\n',
    "unknown_section": "[limit]\nx = 1\n",
    "wrong_kind": '[limits]\nmax_message = true\nconnections_max = "10"\n[log]\nlevel = 3\n',
    "wrong_value": '[log]\nlevel = "loud"\n[timeouts]\nwrite_timeout = "-1s"\ngoodbye_timeout = "inf"\n',
    "too_large": '[limits]\nmax_message = "99999999999GiB"\nconnections_max = 9223372036854775807\n',
    "nested": "[limits.max_message]\nx = 1\n[log]\nlevel = { a = [1, 2] }\n",
    "dotted": 'log.level = "warn"\nlimits.max_message = "2MiB"\n',
    "no_toml": "listen 127.0.0.1\n",
    "unclosed": 'listen = "127\n[log\n',
    "bracket_at_the_end_of_a_line": "[\nlog]\n",
    "letter_where_white_space_may_stand": "[log\ufedf = 0\nä = 1\n",
    "control_characters_in_a_word": "[limits]\nmax_message = tru\0\u0085\n",
    "date_and_float": "shards = 1.5\nlisten = 1979-05-27T07:32:00Z\n",
    "twice": "shards = 1\nshards = 2\n",
    "not_utf8": b'listen = "\xff"\n',
    "zero_byte": b'ports_file = "a\0b"\n',
    "escaped_zero": 'ports_file = "a\\u0000b"\n',
}

CORPUS = {
    "publish_fuzz": MESSAGES,
    "message_fuzz": {**MESSAGES, **BROKERS_PART},
    "control_fuzz": CONTROL,
    "frame_fuzz": FRAMES,
    "topic_fuzz": TOPICS,
    "config_fuzz": CONFIGS,
}


def main():
    wanted = {
        HERE / "corpus" / target / name: content.encode() if isinstance(content, str) else content
        for target, inputs in CORPUS.items()
        for name, content in inputs.items()
    }
    present = {path for path in HERE.glob("corpus/*/*") if not path.name.startswith("found_")}
    different = [path for path in wanted if path not in present or path.read_bytes() != wanted[path]]
    superfluous = present - wanted.keys()
    if sys.argv[1:] == ["--check"]:
        for path in sorted([*different, *superfluous]):
            print(f"{path.relative_to(HERE)} is not what make_corpus.py writes")
        return 1 if different or superfluous else 0
    for path in different:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
    for path in superfluous:
        path.unlink()
    print(f"{len(wanted)} files, {len(different)} written, {len(superfluous)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
