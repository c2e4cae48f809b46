"""The table: Markdown, one part per group of works."""

from comparison import statistics as stats
from comparison.works import PEERS


def _number(value, digits=2):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}" if value < 100 else f"{value:.0f}"


def _spread(spread, scale=1, digits=2):
    if spread is None:
        return "-"
    return (f"{_number(spread['median'] * scale, digits)} [{_number(spread['q1'] * scale, digits)}-"
            f"{_number(spread['q3'] * scale, digits)}]")


def _verdict(spread, target):
    """A target is met when the lower quartile meets it."""
    if target is None or spread is None:
        return ""
    return f" ≤ {target:.2f} " + ("met" if spread["q1"] <= target else "**MISSED**")


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _microseconds(nanoseconds):
    return "-" if nanoseconds is None else _number(nanoseconds / 1000, 0)


def _mib(value):
    return "-" if value is None else _number(value / 2**20, 1)


def _median(values):
    spread = stats.spread(values)
    return spread["median"] if spread else None


def _peers(rounds):
    return [name for name in PEERS if any(name in one["runs"] for one in rounds)]


def _faults_text(rounds, brokers):
    texts = []
    for broker in brokers:
        found = stats.faults(rounds, broker)
        if found:
            texts.append(f"{broker}: " + ", ".join(f"{count} {name}" for name, count in found.items()))
    return "; ".join(texts) or "none"


def _rounds_text(outcome):
    uneven = sum(1 for one in outcome["rounds"] if one.get("uneven"))
    text = str(len(outcome["rounds"]))
    if outcome["rounds_repeated"]:
        text += f" (+{outcome['rounds_repeated']} repeated)"
    return text + (f", {uneven} uneven" if uneven else "")


def ratios_of(work, outcome, variant):
    """Sluice's CPU per delivery: against the limit, each peer, and the best peer of each round."""
    rounds = outcome["rounds"]
    sluice = stats.cpu_figures(rounds, "sluice", variant)
    by_peer = {peer: stats.cpu_figures(rounds, peer, variant) for peer in _peers(rounds)}
    result = {"limit": stats.ratios(sluice, stats.cpu_figures(rounds, "limit", "")) if work.against_limit else None}
    result.update({peer: stats.ratios(sluice, figures) for peer, figures in by_peer.items()})
    result["best peer"] = stats.ratios(sluice, stats.best_of(by_peer.values())) if by_peer else None
    return result


def _throughput(works):
    rows = []
    rates = []
    for work, outcome in works:
        rounds = outcome["rounds"]
        peers = _peers(rounds)
        for variant in work.variants:
            ratios = ratios_of(work, outcome, variant)
            cpu = {name: stats.spread(stats.cpu_figures(rounds, name, variant)) for name in ["limit", "sluice"]}
            rows.append([work.title + (f", {variant}" if variant else ""), _spread(cpu["sluice"], 1e6, 4),
                         _spread(ratios["limit"]) + _verdict(ratios["limit"], work.limit_ratio_max),
                         _spread(ratios["best peer"], 1, 3) + _verdict(ratios["best peer"], work.peer_ratio_max)] +
                        [_spread(ratios.get(peer), 1, 3) for peer in PEERS] +
                        [_rounds_text(outcome), _faults_text(rounds, ["limit", "sluice"] + peers)])
            million = {}
            for name in ["limit", "sluice"] + peers:
                million[name] = _median([result["deliveries"] / result["seconds"] / 1e6 if result else None
                                         for result in stats.runs_of(rounds, name, variant)])
            rates.append([work.title] + [_number(million.get(name), 3) for name in ("limit", "sluice") + PEERS])
    lines = ["CPU of the broker per delivery (all threads, user + system): median [quartiles] over the rounds, ratios "
             "within each round.", ""]
    lines += _table(["work", "Sluice, s per million", "/ limit", "/ best peer"] + [f"/ {peer}" for peer in PEERS] +
                    ["rounds", "lost, repeated, reordered, cut"], rows)
    lines += ["Million deliveries per second (median), the load generator sharing the machine:", ""]
    return lines + _table(["work", "limit", "sluice"] + list(PEERS), rates)


def _latency(works):
    rows = []
    notes = []
    for work, outcome in works:
        rounds = outcome["rounds"]
        peers = _peers(rounds)
        merged = {name: stats.merged_percentiles(rounds, name, "") for name in ["limit", "sluice"] + peers}
        for name, percentiles in merged.items():
            if percentiles is None:
                continue
            cpu = stats.spread(stats.cpu_figures(rounds, name, ""))
            rows.append([work.title, name] + [_microseconds(percentiles[p]) for p in ("p50", "p99", "p999")] +
                        [_spread(cpu, 1e6), _faults_text(rounds, [name]), _rounds_text(outcome)])
        with_figures = [peer for peer in peers if merged.get(peer)]
        if not merged["sluice"]:
            continue
        checks = []
        if merged["limit"]:
            for p, factor in (("p50", 1.2), ("p99", 1.5)):
                found = merged["sluice"][p] / merged["limit"][p]
                checks.append(f"{p} {found:.2f} x the limit's (≤ {factor}: {'met' if found <= factor else '**MISSED**'})")
        if with_figures:
            best = min(with_figures, key=lambda peer: merged[peer]["p50"])
            for p in ("p50", "p99", "p999"):
                found = merged["sluice"][p] / merged[best][p]
                checks.append(f"{p} {found:.2f} x that of {best} (≤ 1.25: {'met' if found <= 1.25 else '**MISSED**'})")
        notes.append(f"- {work.title}: " + "; ".join(checks))
    lines = ["Microseconds from the intended send time, percentiles over all rounds together.", ""]
    return lines + _table(["work", "broker", "p50", "p99", "p99.9", "CPU s per million", "faults", "rounds"],
                          rows) + notes + [""]


def _isolation(works):
    rows = []
    for work, outcome in works:
        rounds = outcome["rounds"]
        calm, loaded = work.variants
        for name in ["sluice"] + _peers(rounds):
            before, after = stats.runs_of(rounds, name, calm), stats.runs_of(rounds, name, loaded)
            pairs = [(a, b) for a, b in zip(after, before) if a and b]
            if not pairs:
                rows.append([work.title, name, "failed"] + ["-"] * 8)
                continue
            p99 = stats.spread([stats.ratio(a["latency"]["p99_ns"], b["latency"]["p99_ns"]) for a, b in pairs])
            steady = stats.spread([stats.ratio(stats.steady_rate(a), stats.steady_rate(b)) for a, b in pairs])
            merged = [stats.merged_percentiles(rounds, name, variant) for variant in (calm, loaded)]
            grown = _median([a["rss_bytes_peak"] - b["rss_bytes_peak"] for a, b in pairs])
            first = _median([a["first_cut_seconds"] for a, _ in pairs])
            last = _median([a["last_cut_seconds"] for a, _ in pairs])
            cut = _median([a["stuck_cut"] for a, _ in pairs])
            ours = name == "sluice"
            target = 1.5 if ours and "rate" in work.name else None
            # One subscription's limit and 64 MiB.
            memory = f" ≤ 72 {'met' if grown <= 72 * 2**20 else '**MISSED**'}" if ours else ""
            flat_out = f" ≥ 0.90 {'met' if steady['q3'] >= 0.9 else '**MISSED**'}" if ours and not target and steady else ""
            rows.append([work.title, name] +
                        [" → ".join(_microseconds(m[p]) if m else "-" for m in merged) for p in ("p50", "p99", "p999")] +
                        [_spread(p99) + _verdict(p99, target), _spread(steady) + flat_out, _mib(grown) + memory,
                         f"{cut:.0f}" + (f", {first:.1f}-{last:.1f} s" if cut else ""),
                         _faults_text(rounds, [name]), _rounds_text(outcome)])
    lines = ["The healthy subscribers, without → with the stuck ones. Throughput is that from 5 s after the last stuck "
             "one was cut (or of the second half). In flat-out works the latency is the time in the window.", ""]
    return lines + _table(["work", "broker", "p50 us", "p99 us", "p99.9 us", "p99 ratio in a round",
                           "throughput ratio", "RSS grows by MiB", "cut", "faults", "rounds"], rows)


def _scaling(works):
    rows = []
    for work, outcome in works:
        rounds = outcome["rounds"]
        first, *others = work.variants
        for name in ["sluice"] + _peers(rounds):
            base = stats.cpu_figures(rounds, name, first)
            for variant in others:
                figures = stats.cpu_figures(rounds, name, variant)
                scaled = stats.ratios(figures, base)
                target = work.variant_ratio_max if name == "sluice" else None
                rows.append([work.title, name, f"{first} → {variant}",
                             f"{_spread(stats.spread(base), 1e6, 3)} → {_spread(stats.spread(figures), 1e6, 3)}",
                             _spread(scaled) + _verdict(scaled, target), _faults_text(rounds, [name]),
                             _rounds_text(outcome)])
    lines = ["How the cost of a delivery grows with the variant, within each round.", ""]
    return lines + _table(["work", "broker", "variant", "CPU s per million", "ratio", "faults", "rounds"], rows)


def _steps(works, step, what):
    """Memory, time and CPU of each connection or subscription that was made."""
    rows = []
    for work, outcome in works:
        for name in ["limit", "sluice"] + _peers(outcome["rounds"]):
            for variant in work.variants:
                if name == "limit" and work.group != "idle":
                    continue
                results = [result[step] for result in stats.runs_of(outcome["rounds"], name, variant) if result]
                results = [result for result in results if result["count"] > 0]
                if not results:
                    continue
                memory = stats.spread([(r["rss_bytes_after"] - r["rss_bytes_before"]) / r["count"] for r in results])
                rows.append([work.title, name, str(results[0]["count"]),
                             _spread(memory, 1, 0) + _verdict(memory, work.bytes_each_max if name == "sluice" else None),
                             _number(_median([r["count"] / r["seconds"] for r in results]), 0),
                             _number(_median([r["broker_cpu_seconds"] / r["count"] * 1e6 for r in results]))])
    return _table(["work", "broker", what, "RSS bytes each", "made per second", "broker CPU us each"], rows)


def _library(works):
    rows = []
    for work, outcome in works:
        results = {}
        for library in work.variants:
            found = [runs[library] for one in outcome["rounds"] for runs in one["runs"].values() if library in runs]
            results[library] = [result if "failed" not in result else None for result in found]
        figures = {library: [result["cpu_ns_per_message"] if result else None for result in found]
                   for library, found in results.items()}
        for library, found in results.items():
            ours = library.startswith("sluice")
            cost = stats.spread(figures[library])
            ratio = stats.ratios(figures[library], figures.get("nats", [])) if ours else None
            rows.append([work.title, library, _spread(cost, 1, 0) + _verdict(cost, 200 if ours else None),
                         _spread(ratio) + _verdict(ratio, 1 / 3),
                         _number(_median([result["messages_per_second"] if result else None for result in found]), 0),
                         str(sum(result["unexpected"] for result in found if result)), _rounds_text(outcome)])
    return ["CPU of the subscriber's process, its kernel time included.", ""] + _table(
        ["work", "library", "CPU ns per message", "/ libnats", "messages per second", "lost or out of order",
         "rounds"], rows)


def markdown(machine, brokers, works_and_outcomes, plots):
    """The whole report. works_and_outcomes: [(work, outcome)]."""
    lines = ["# Sluice compared", ""]
    lines += [f"- {name}: {text}" for name, text in machine.items()]
    lines += ["", "Settings:", ""]
    lines += [f"- `{name}`: {text}" for name, text in brokers.items()]
    lines.append("")
    by_group = {}
    for work, outcome in works_and_outcomes:
        by_group.setdefault(work.group, []).append((work, outcome))
    for group, title, part in (("throughput", "Throughput", _throughput), ("latency", "Latency", _latency),
                               ("isolation", "Isolation", _isolation),
                               ("sessions", "Many subscriptions per session", _scaling),
                               ("churn", "Subscription churn", _scaling),
                               ("subscriptions", "Many subscriptions", _scaling)):
        if group in by_group:
            lines += [f"## {title}", ""] + part(by_group[group])
    if "subscriptions" in by_group:
        lines += ["Making them:", ""] + _steps(by_group["subscriptions"], "subscriptions", "subscriptions")
    if "idle" in by_group:
        lines += ["## Idle connections", ""] + _steps(by_group["idle"], "idle_connections", "connections")
    if "library" in by_group:
        lines += ["## Client library", ""] + _library(by_group["library"])
    lines += [f"![{name}]({name})" for name in plots]
    return "\n".join(lines) + "\n"
