"""SVG plots, drawn by matplotlib: throughput, latency, memory."""

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402  (the backend is chosen first)

from comparison import statistics as stats  # noqa: E402
from comparison.works import PEERS, size_text  # noqa: E402

_NAMES = ("limit", "sluice") + PEERS
_STYLE = {"limit": ("0.5", ":"), "sluice": ("tab:blue", "-"), "nats": ("tab:green", "-"),
          "nats-1cpu": ("tab:green", "--"), "redis": ("tab:red", "-"), "mosquitto": ("tab:purple", "-")}


def _line(axes, x, y, name):
    color, style = _STYLE[name]
    axes.plot(x, y, color=color, linestyle=style, marker="o", markersize=3, label=name)


def _save(figure, folder, name):
    figure.tight_layout()
    figure.savefig(f"{folder}/{name}", metadata={"Date": None})
    pyplot.close(figure)
    return name


def _throughput(works, folder):
    points = {}
    for work, outcome in works:
        load = work.variants.get("")
        if not work.name.startswith("throughput-") or load is None:
            continue
        for name in _NAMES:
            rates = stats.spread([result["deliveries"] / result["seconds"] / 1e6 if result else None
                                  for result in stats.runs_of(outcome["rounds"], name, "")])
            if rates:
                points.setdefault(load["payload-bytes"], {}).setdefault(name, []).append(
                    (load["subscribers"], rates["median"]))
    sizes = sorted(size for size, lines in points.items() if any(len(line) > 1 for line in lines.values()))
    if not sizes:
        return []
    figure, all_axes = pyplot.subplots(1, len(sizes), figsize=(3.6 * len(sizes), 3.6), squeeze=False)
    for axes, size in zip(all_axes[0], sizes):
        for name, line in points[size].items():
            _line(axes, *zip(*sorted(line)), name)
        axes.set(title=f"{size_text(size)} messages", xlabel="subscribers", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel("million deliveries per second")
    all_axes[0][-1].legend(fontsize=7)
    return [_save(figure, folder, "throughput.svg")]


def _latency(works, folder):
    works = [(work, outcome) for work, outcome in works if work.group == "latency"]
    if not works:
        return []
    figure, all_axes = pyplot.subplots(1, len(works), figsize=(5 * len(works), 3.8), squeeze=False)
    quantiles = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999]
    for axes, (work, outcome) in zip(all_axes[0], works):
        for name in _NAMES:
            results = [result for result in stats.runs_of(outcome["rounds"], name, "") if result]
            buckets = [bucket for result in results for bucket in result["latency"].get("buckets", [])]
            if buckets:
                _line(axes, [1 / (1 - q) for q in quantiles],
                      [stats.percentile(buckets, q) / 1000 for q in quantiles], name)
        axes.set(title=work.title, xscale="log", yscale="log", xlabel="percentile",
                 ylabel="microseconds from the intended send time")
        axes.set_xticks([2, 10, 100, 1000, 10000], ["50", "90", "99", "99.9", "99.99"])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return [_save(figure, folder, "latency.svg")]


def _memory(works, folder):
    points = {}
    for work, outcome in works:
        if work.group != "isolation":
            continue
        kind = "at a fixed rate" if "rate" in work.name else "flat out"
        for name in ("sluice",) + PEERS:
            for variant, load in work.variants.items():
                peak = stats.spread([result["rss_bytes_peak"] / 2**20 if result else None
                                     for result in stats.runs_of(outcome["rounds"], name, variant)])
                if peak:
                    points.setdefault(kind, {}).setdefault(name, {})[load["stuck"]] = peak["median"]
    if not points:
        return []
    figure, all_axes = pyplot.subplots(1, len(points), figsize=(5 * len(points), 3.8), squeeze=False)
    for axes, (kind, lines) in zip(all_axes[0], points.items()):
        for name, line in lines.items():
            _line(axes, *zip(*sorted(line.items())), name)
        axes.set(title=f"Peak memory, 10 healthy subscribers, {kind}", xscale="symlog", yscale="log",
                 xlabel="stuck subscribers", ylabel="MiB resident")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return [_save(figure, folder, "memory.svg")]


def draw(works_and_outcomes, folder):
    """Writes what can be drawn of the works; returns the names of the files."""
    pyplot.rcParams["svg.hashsalt"] = "sluice"
    return [name for part in (_throughput, _latency, _memory) for name in part(works_and_outcomes, folder)]
