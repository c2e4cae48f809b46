"""Carries out the works: interleaved rounds, each broker once per variant and round, the limit at both ends."""

import json
import subprocess
import tempfile
import time

from comparison import brokers as brokers_module

LIMIT_SPREAD_MAX = 1.3
# How many rounds may be repeated, as a multiple of those wanted, before one is taken as it is.
REPEATS_PER_ROUND = 1


def run_load(build, broker, work, load, keep_buckets):
    """One run of the generator against a broker started for it. A failure is a result, too."""
    started_at = time.monotonic()
    try:
        with brokers_module.started(broker, work) as (port, pid):
            command = [f"{build}/tests/bench/bench_load", "--protocol", broker.protocol, "--port", str(port), "--pid",
                       str(pid)]
            for name, value in load.items():
                command += [f"--{name}", str(value)]
            generator = brokers_module.spawn(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, text=True)
            try:
                output, complaint = generator.communicate(timeout=load["duration"] + 180)
            except subprocess.TimeoutExpired:
                output, complaint = "", "the generator did not end in time"
            finally:
                brokers_module.stop(generator)
    except brokers_module.StartFailed as failure:
        output, complaint = "", str(failure)
    if not output:
        return {"failed": complaint.strip() or "no result"}
    result = json.loads(output)
    if not keep_buckets:
        del result["latency"]["buckets"]
    result["took_seconds"] = time.monotonic() - started_at
    return result


def run_library(build, broker, work, library, load):
    """The generator publishes; a program that uses a client library receives, and says what that cost it."""
    arguments = [argument for name, value in load.items() for argument in (f"--{name}", str(value))]
    try:
        with brokers_module.started(broker, work) as (port, pid), tempfile.NamedTemporaryFile() as progress:
            subscriber = brokers_module.spawn([f"{build}/tests/bench/library_load", library, str(port), progress.name],
                                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                              text=True)
            try:
                if subscriber.stdout.readline() != "ready\n":
                    return {"failed": subscriber.stderr.read().strip() or "not ready"}
                generator = brokers_module.spawn(
                    [f"{build}/tests/bench/bench_load", "--protocol", broker.protocol, "--port", str(port), "--pid",
                     str(pid), "--progress-file", progress.name] + arguments, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True)
                try:
                    output, complaint = generator.communicate(timeout=load["duration"] + 60)
                finally:
                    brokers_module.stop(generator)
                if not output:
                    return {"failed": complaint.strip() or "no result"}
                result = json.loads(subscriber.communicate(timeout=60)[0])
            finally:
                brokers_module.stop(subscriber)
    except (brokers_module.StartFailed, subprocess.TimeoutExpired) as failure:
        return {"failed": str(failure)}
    generated = json.loads(output)
    result["messages_per_second"] = generated["messages"] / generated["seconds"]
    return result


def cpu_per_delivery(result):
    """Broker CPU seconds per delivery; None if there is none."""
    if "failed" in result or not result["deliveries"] or not result["broker_cpu_seconds"]:
        return None
    return result["broker_cpu_seconds"] / result["deliveries"]


def _limit_spread(first, second):
    figures = [cpu_per_delivery(first), cpu_per_delivery(second)]
    if None in figures:
        return float("inf")
    return max(figures) / min(figures)


def _keeps_buckets(work):
    return work.group in ("latency", "isolation")


def run_variants(build, broker, work):
    return {variant: run_load(build, broker, work, load, _keeps_buckets(work))
            for variant, load in work.variants.items()}


def run_library_variants(build, broker, work):
    """Of a library work each variant is a library, which speaks to one broker."""
    return {library: run_library(build, broker, work, library, load) for library, load in work.variants.items()
            if library.startswith(broker.name)}


def run_round(build, brokers, work, number, say):
    """{'limit': [two results], 'runs': {broker: {variant: result}}, 'limit_spread': ratio}"""
    limit = brokers["limit"]
    results = {"limit": [], "runs": {}}
    names = [name for name in work.brokers if name in brokers]
    run = run_library_variants if work.group == "library" else run_variants
    # Every broker has every place in turn.
    names = names[number % len(names):] + names[:number % len(names)]
    results["limit"].append(run_load(build, limit, work, work.limit, _keeps_buckets(work)))
    for name in names:
        results["runs"][name] = run(build, brokers[name], work)
        for variant, result in results["runs"][name].items():
            if "failed" in result:
                say(f"  {name} {variant}: {result['failed']}")
    results["limit"].append(run_load(build, limit, work, work.limit, _keeps_buckets(work)))
    results["limit_spread"] = _limit_spread(*results["limit"])
    return results


def run_work(build, brokers, work, rounds, outcome, say):
    """Adds rounds of one work to the outcome; those in which the machine was uneven are repeated."""
    outcome.update({"rounds": [], "rounds_repeated": 0})
    while len(outcome["rounds"]) < rounds:
        number = len(outcome["rounds"])
        say(f"{work.name}: round {number + 1} of {rounds}")
        result = run_round(build, brokers, work, number, say)
        if result["limit_spread"] > LIMIT_SPREAD_MAX:
            if outcome["rounds_repeated"] < REPEATS_PER_ROUND * rounds:
                outcome["rounds_repeated"] += 1
                say(f"  the limit's two runs differ by {result['limit_spread']:.2f} x: once more")
                continue
            result["uneven"] = True
        outcome["rounds"].append(result)
