"""What is measured: every work with its variants, and what it must show."""

import resource
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

PEERS = ("nats", "nats-1cpu", "redis", "mosquitto")
KIB = 1024
MIB = 1024 * KIB
# The kernel's share of TCP memory is bounded for all sockets together.
WINDOW_BYTES = 2 * MIB
WINDOW_BYTES_OF_ALL = 256 * MIB


@dataclass(frozen=True)
class Work:
    name: str
    group: str
    title: str
    # Name of the variant -> arguments of bench_load. Ratios between variants are to the first.
    variants: Dict[str, Dict]
    # What the limit program does in each round; it also tells how even the round was.
    limit: Dict
    # Whether Sluice is compared to it, or it only tells how even the round was.
    against_limit: bool = True
    # Targets: at most so many times the limit, the best peer, the first variant; None: none.
    limit_ratio_max: Optional[float] = None
    peer_ratio_max: Optional[float] = None
    variant_ratio_max: Optional[float] = None
    # Of what is made before the messages flow: connections or subscriptions.
    bytes_each_max: Optional[float] = None
    brokers: Tuple[str, ...] = ("sluice",) + PEERS
    # Connections that the broker will have, for its limits.
    connections: int = 0
    # Rounds of the quick form; 0: not in it.
    quick_rounds: int = 0


def _window(subscribers):
    return min(WINDOW_BYTES, WINDOW_BYTES_OF_ALL // max(1, subscribers))


def _load(subscribers, payload_bytes, seconds, **more):
    load = {"subscribers": subscribers, "payload-bytes": payload_bytes, "duration": seconds}
    if "rate" not in more:
        load["window-bytes"] = _window(subscribers)
    load.update({key.replace("_", "-"): value for key, value in more.items()})
    return load


def size_text(payload_bytes):
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if payload_bytes >= 16 * unit or payload_bytes == unit == MIB:
            return f"{payload_bytes // unit} {name}"
    return f"{payload_bytes} B"


# (subscribers at least, payload) -> (times the limit, times the best peer)
def _throughput_targets(subscribers, payload_bytes):
    if subscribers == 1:
        return (3.0, 1 / 3) if payload_bytes == 128 else (None, None)
    return {16: (2.0, 1 / 9), 128: (1.5, 1 / 3.5), 1024: (1.3, 1 / 1.4)}.get(payload_bytes, (1.2, 1.25))


def _throughput(subscribers, payload_bytes, seconds, quick_rounds):
    limit_ratio_max, peer_ratio_max = _throughput_targets(subscribers, payload_bytes)
    load = _load(subscribers, payload_bytes, seconds)
    return Work(name=f"throughput-{subscribers}x{payload_bytes}", group="throughput",
                title=f"S = {subscribers}, {size_text(payload_bytes)}", variants={"": load}, limit=load,
                limit_ratio_max=limit_ratio_max, peer_ratio_max=peer_ratio_max, quick_rounds=quick_rounds)


def _latency(rate, subscribers, seconds, quick_rounds=0):
    load = _load(subscribers, 128, seconds, rate=rate)
    return Work(name=f"latency-{rate}x{subscribers}", group="latency",
                title=f"{rate} msg/s to {subscribers}, 128 B", variants={"": load}, limit=load,
                quick_rounds=quick_rounds)


def _isolation(stuck, rate, seconds, quick_rounds=0):
    pace = {"rate": rate} if rate else {}
    kind = "rate" if rate else "full"
    variants = {f"K = {k}": _load(10, 1024, seconds, stuck=k, **pace) for k in (0, stuck)}
    return Work(name=f"isolation-{kind}-{stuck}", group="isolation",
                title=f"K = {stuck} stuck, " + (f"{rate} msg/s to 10, 1024 B" if rate else "flat out to 10, 1024 B"),
                variants=variants, limit=_load(10, 1024, 1.0, **pace), against_limit=False,
                quick_rounds=quick_rounds)


def _descriptors_max():
    """Raises the limit of open descriptors as far as it goes, and says how far that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 120_000
    for limits in ((wanted, max(hard, wanted)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _idle(connections):
    load = _load(1, 128, 1.0, rate=100, idle=connections)
    return Work(name=f"idle-{connections}", group="idle", title=f"{connections} connections that do nothing",
                variants={"": load}, limit=load, against_limit=False, connections=connections,
                bytes_each_max=1024)


def works(quick):
    """All of them, the most telling first. `quick`: less time for each."""
    second = 0.5 if quick else 1.0
    listed = []
    for subscribers in (10, 100, 1, 1000):
        for payload_bytes in (16, 128, 1024, 16 * KIB):
            telling = subscribers == 10 or (subscribers < 1000 and payload_bytes == 128)
            listed.append(_throughput(subscribers, payload_bytes, second, quick_rounds=3 if telling else 0))
    listed.append(_throughput(10, MIB, second, quick_rounds=0))
    listed.append(_latency(10_000, 10, 2.0 if quick else 5.0, quick_rounds=3))
    listed.append(_latency(1_000, 100, 5.0))
    for stuck in (10, 100, 1000):
        listed.append(_isolation(stuck, 10_000, 12.0, quick_rounds=1 if stuck == 100 else 0))
    for stuck in (10, 100, 1000):
        listed.append(_isolation(stuck, 0, 11.0))

    four = _load(10, 128, second, publishers=4)
    listed.append(Work(name="publishers-4", group="throughput", title="4 publishers, S = 10, 128 B",
                       variants={"": four}, limit=four, limit_ratio_max=1.5, peer_ratio_max=1 / 3.5))
    listed.append(Work(name="topics-10", group="throughput", title="10 topics at random, S = 10, 128 B",
                       variants={"": _load(10, 128, second, topics=10, layout="split")},
                       limit=_load(10, 128, second), against_limit=False, peer_ratio_max=1 / 5, quick_rounds=3))
    listed.append(Work(name="sessions", group="sessions",
                       title="100 sessions with 1, 16 and 100 subscriptions each, all topics interleaved, 128 B",
                       variants={f"{n} each": _load(100, 128, second, topics=n) for n in (1, 16, 100)},
                       limit=_load(100, 128, second), variant_ratio_max=1.3))
    listed.append(Work(name="churn", group="churn",
                       title="1000 subscribes and 1000 unsubscribes per second beside a publisher, S = 10, 128 B",
                       variants={f"{n}/s": _load(10, 128, second, churn=n) for n in (0, 1000)},
                       limit=_load(10, 128, second), variant_ratio_max=1.5))
    listed.append(Work(name="subscriptions", group="subscriptions",
                       title="1 k, 100 k and 1 M subscriptions of 100 sessions, publishes to random ones, 128 B",
                       variants={name: _load(100, 128, second, topics=n, layout="split")
                                 for name, n in (("1 k", 1000), ("100 k", 100_000), ("1 M", 1_000_000))},
                       limit=_load(100, 128, second), against_limit=False, variant_ratio_max=2.0,
                       # 200 and those of the topic.
                       bytes_each_max=213))
    received = _load(0, 128, 3.0)
    listed.append(Work(name="library", group="library", title="one subscriber with a client library, 128 B",
                       variants={library: received for library in ("sluice", "nats", "sluice-inline")},
                       limit=_load(1, 128, second), brokers=("sluice", "nats")))
    descriptors_max = _descriptors_max()
    for connections in (10_000, 50_000):
        if connections + 1000 < descriptors_max:
            listed.append(_idle(connections))
    return listed


def smoke_work():
    """Something tiny, for the test of this suite."""
    load = _load(3, 16, 0.2)
    return Work(name="smoke", group="throughput", title="S = 3, 16 B, 0.2 s", variants={"": load}, limit=load)
