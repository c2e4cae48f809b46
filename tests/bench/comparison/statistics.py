"""Figures of rounds: medians with quartiles of ratios within a round, and percentiles over all rounds."""

import statistics
from collections import Counter

from comparison.rounds import cpu_per_delivery


def spread(values):
    """{'median', 'q1', 'q3', 'n'} of what is not None; None if nothing is."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    if len(values) == 1:
        q1, median, q3 = values * 3
    else:
        q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3, "n": len(values)}


def ratio(above, below):
    return above / below if above is not None and below else None


def percentile(buckets, quantile):
    """The smallest value that a share of at least `quantile` does not exceed, of [value, count] pairs."""
    counts = Counter()
    for value, count in buckets:
        counts[value] += count
    wanted = quantile * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return None


def runs_of(rounds, broker, variant):
    """Its result in each round; None where it failed."""
    if broker == "limit":
        return [one["limit"][0] if "failed" not in one["limit"][0] else None for one in rounds]
    results = [one["runs"].get(broker, {}).get(variant) for one in rounds]
    return [result if result is not None and "failed" not in result else None for result in results]


def limit_cpu(one):
    """The mean of the two runs of the limit in a round."""
    figures = [cpu_per_delivery(result) for result in one["limit"]]
    return None if None in figures else sum(figures) / len(figures)


def cpu_figures(rounds, broker, variant):
    if broker == "limit":
        return [limit_cpu(one) for one in rounds]
    return [cpu_per_delivery(result) if result else None for result in runs_of(rounds, broker, variant)]


def ratios(above, below):
    return spread([ratio(a, b) for a, b in zip(above, below)])


def best_of(figures_by_broker):
    """Round by round the least of several brokers' figures."""
    return [min((value for value in values if value is not None), default=None)
            for values in zip(*figures_by_broker)]


def merged_percentiles(rounds, broker, variant):
    """p50, p99 and p99.9 in nanoseconds over all rounds together; None if there is nothing."""
    if broker == "limit":
        results = [result for one in rounds for result in one["limit"] if "failed" not in result]
    else:
        results = [result for result in runs_of(rounds, broker, variant) if result]
    buckets = [bucket for result in results for bucket in result["latency"].get("buckets", [])]
    if not buckets:
        return None
    return {name: percentile(buckets, q) for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}


def faults(rounds, broker):
    """What was lost, repeated, and so on, over all rounds and variants; only what is not zero."""
    counts = Counter()
    for one in rounds:
        results = one["limit"] if broker == "limit" else one["runs"].get(broker, {}).values()
        for result in results:
            if "failed" in result:
                counts["failed"] += 1
                continue
            for name in ("lost", "repeated", "reordered", "foreign", "errors", "healthy_cut", "stalls"):
                counts[name] += result[name]
    return {name: count for name, count in counts.items() if count}


def steady_rate(result):
    """Deliveries per second from 5 s after the last stuck one was cut (or from the middle) to the end."""
    points = result["timeline"]
    if len(points) < 2:
        return None
    end = points[-1][0]
    begin = result["last_cut_seconds"] + 5 if result["stuck_cut"] else end / 2
    begin = min(begin, end * 0.8)
    first = next(point for point in points if point[0] >= begin)
    if points[-1][0] <= first[0]:
        return None
    return (points[-1][1] - first[1]) / (points[-1][0] - first[0])
