#!/usr/bin/python3
"""Makes both dashboards of panels.yaml: the console template of Prometheus and the JSON for Grafana.

    generate.py            writes them
    generate.py --check    says which are not up to date, and fails if any is

Needs python3-yaml.
"""

import argparse
import html
import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parent
CONSOLE = DEPLOY / "prometheus" / "consoles" / "sluice.html"
GRAFANA = DEPLOY / "grafana" / "dashboards" / "sluice.json"

# As Grafana calls them, and the pipeline with which Prometheus' templates write such a number.
UNITS = {
    "count": ("short", "humanize $v"),
    "per_second": ("cps", 'print (humanize $v) "/s"'),
    "per_minute": ("cpm", 'print (humanize $v) "/min"'),
    "bytes": ("bytes", 'print (humanize1024 $v) "B"'),
    "bytes_per_second": ("Bps", 'print (humanize1024 $v) "B/s"'),
    "seconds": ("s", "humanizeDuration $v"),
    "share": ("percentunit", "humanizePercentage $v"),
}
PANEL_KEYS = {
    "tile": {"title", "kind", "unit", "description", "query", "warn", "bad"},
    "graph": {"title", "kind", "unit", "description", "queries"},
    "consumers": {"title", "kind", "description"},
}
PLACEHOLDERS = re.compile(r"\$(labels|rate)\b")

CONSUMER_LABELS = "instance, consumer, client, address, filter"
# What the first column brings with it, from a metric of its own.
CONSUMER_INFO = "limit, cause"
# The table of slow consumers: the first column decides who is in it.
CONSUMER_COLUMNS = (
    ("share", "Of its limit", "share", "sluice_top_consumer_limit_share"),
    ("bytes", "Waiting", "bytes", "sluice_top_consumer_pending_bytes"),
    ("age", "Oldest", "seconds", "sluice_top_consumer_oldest_age_seconds"),
)
CONSUMERS_SHOWN = 20


def load_panels(path=HERE / "panels.yaml"):
    panels = yaml.safe_load(path.read_text(encoding="utf-8"))
    for row in panels["rows"]:
        for panel in row["panels"]:
            allowed = PANEL_KEYS[panel["kind"]]
            required = allowed - {"warn", "bad"}
            if not required <= panel.keys() <= allowed:
                sys.exit(f"panels.yaml: {panel['title']}: its keys are not {sorted(allowed)}")
    return panels


def consumer_query(metric):
    if metric != CONSUMER_COLUMNS[0][3]:
        return f"max by ({CONSUMER_LABELS}) ({metric}{{$labels}})"
    with_info = (f"{metric}{{$labels}} * on (job, instance, consumer) group_left ({CONSUMER_INFO}) "
                 "sluice_top_consumer_info{$labels}")
    return f"topk({CONSUMERS_SHOWN}, max by ({CONSUMER_LABELS}, {CONSUMER_INFO}) ({with_info}))"


def queries_of(panel):
    """Pairs of legend and PromQL with its placeholders."""
    if panel["kind"] == "tile":
        return [("", panel["query"])]
    if panel["kind"] == "consumers":
        return [(title, consumer_query(metric)) for _, title, _, metric in CONSUMER_COLUMNS]
    return list(panel["queries"].items())


def fill_in(query, labels, rate):
    return PLACEHOLDERS.sub(lambda match: {"labels": labels, "rate": rate}[match[1]], query)


# The console template. Its frame is console.html: marks such as @@ROWS@@ stand where something goes in.


def go_query(query, rate="$rate"):
    """An action's expression that gives the query with its placeholders filled in."""
    text = fill_in(query.replace("%", "%%"), "%[1]s", "%[2]s")
    assert "`" not in text and "%[1]s" in text
    return f"(printf `{text}` $labels {rate})"


def write_value(unit):
    return f"{{{{ {UNITS[unit][1]} }}}}"


def console_tile(panel):
    limits = [(panel[level], level) for level in ("bad", "warn") if level in panel]
    judge = "".join(
        f'{{{{ {"else " if n else ""}if ge $v {float(limit)} }}}}{{{{ $level = "{level}" }}}}'
        for n, (limit, level) in enumerate(limits)
    )
    if limits:
        judge += '{{ else }}{{ $level = "good" }}{{ end }}'
    return f"""\
{{{{- $q := {go_query(panel["query"])} }}}}{{{{ $level := "none" }}}}{{{{ $text := "no data" }}}}
{{{{- with query $q }}}}{{{{ $v := . | first | value }}}}{{{{ $text = {UNITS[panel["unit"]][1]} }}}}{{{{ $level = "plain" -}}}}
{judge}{{{{ end }}}}
<a class="tile {{{{ $level }}}}" href="{{{{ pathPrefix }}}}{{{{ graphLink $q }}}}" data-query="{{{{ $q }}}}"
 title="{html.escape(panel["description"])}"><span>{html.escape(panel["title"])}</span><b>{{{{ $text }}}}</b></a>
"""


def console_graph(panel):
    lines = [
        f'<i data-legend="{html.escape(legend)}" data-query="{{{{ {go_query(query, "`$rate`")} }}}}"></i>'
        for legend, query in queries_of(panel)
    ]
    return f"""\
<figure class="graph" data-unit="{panel["unit"]}">
<figcaption><b>{html.escape(panel["title"])}</b> <span>{html.escape(panel["description"])}</span></figcaption>
{chr(10).join(lines)}
</figure>
"""


def console_consumers(panel):
    (_, first_title, _, first_metric), *others = CONSUMER_COLUMNS
    matchers = "instance=%q,consumer=%q"
    cells = ""
    heads = ""
    for _, title, unit, metric in others:
        heads += f'<th class="number">{title}</th>'
        cells += (
            f'<td class="number">{{{{ with query (printf `max({metric}{{{matchers}}})` '
            f".Labels.instance .Labels.consumer) }}}}{{{{ $v := . | first | value }}}}"
            f"{write_value(unit)}{{{{ end }}}}</td>"
        )
    hidden = "".join(f'<i data-query="{{{{ {go_query(query)} }}}}"></i>' for _, query in queries_of(panel))
    return f"""\
<figure class="consumers">
<figcaption><b>{html.escape(panel["title"])}</b> <span>{html.escape(panel["description"])}</span></figcaption>
{hidden}
<div class="scroll"><table>
<thead><tr><th>Client</th><th>Filter</th><th>{first_title}</th><th>Limit</th>{heads}
<th>Cause</th><th>Address</th><th>Id</th></tr></thead>
<tbody>
{{{{- range query (printf `sort_desc(%s)` {go_query(consumer_query(first_metric))}) }}}}{{{{ $v := .Value }}}}
<tr class="{{{{ if ge $v 0.9 }}}}bad{{{{ else if ge $v 0.75 }}}}warn{{{{ end }}}}">
<td><b>{{{{ .Labels.client }}}}</b></td><td>{{{{ .Labels.filter }}}}</td>
<td><meter max="1" low="0.75" high="0.9" optimum="0" value="{{{{ $v }}}}"></meter> {write_value("share")}</td>
<td>{{{{ .Labels.limit }}}}</td>{cells}
<td>{{{{ .Labels.cause }}}}</td><td>{{{{ .Labels.address }}}}</td><td>{{{{ .Labels.consumer }}}}</td></tr>
{{{{- else }}}}
<tr><td colspan="9" class="nothing">No consumer is behind.</td></tr>
{{{{- end }}}}
</tbody></table></div>
</figure>
"""


def console(panels):
    rows = []
    for row in panels["rows"]:
        tiles = "".join(console_tile(panel) for panel in row["panels"] if panel["kind"] == "tile")
        tables = "".join(console_consumers(panel) for panel in row["panels"] if panel["kind"] == "consumers")
        graphs = "".join(console_graph(panel) for panel in row["panels"] if panel["kind"] == "graph")
        name = re.sub(r"\W+", "-", row["title"].lower()).strip("-")
        rows.append(f"<h2>{html.escape(row['title'])}</h2>")
        if tiles:
            rows.append(f'<div class="tiles live" id="{name}-tiles">\n{tiles}</div>')
            rows.append("@@ALERTS@@")
        if tables:
            rows.append(f'<div class="live" id="{name}-table">\n{tables}</div>')
        if graphs:
            rows.append(f'<div class="graphs">\n{graphs}</div>')
    frame = (HERE / "console.html").read_text(encoding="utf-8")
    alerts = re.search(r"@@ALERTS BEGIN@@\n(.*?)@@ALERTS END@@\n", frame, re.S)
    page = frame.replace(alerts[0], "").replace("@@ROWS@@", "\n".join(rows))
    return page.replace("@@ALERTS@@", alerts[1].rstrip(), 1).replace(
        "@@SCRIPT@@", (HERE / "console.js").read_text(encoding="utf-8").rstrip()
    )


# The Grafana dashboard.

GRAFANA_LABELS = 'job=~"$job",instance=~"$instance"'
GRAFANA_RATE = "$__rate_interval"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SIZES = {"tile": (4, 4), "graph": (8, 8), "consumers": (24, 8)}  # width of 24, height
ROW_WIDTH = 24


def grafana_targets(panel):
    targets = []
    for number, (legend, query) in enumerate(queries_of(panel)):
        target = {
            "datasource": DATASOURCE,
            "expr": fill_in(query, GRAFANA_LABELS, GRAFANA_RATE),
            "legendFormat": re.sub(r"\{(\w+)\}", r"{{\1}}", legend) or panel["title"],
            "refId": chr(ord("A") + number),
        }
        if panel["kind"] == "consumers":
            target |= {"format": "table", "instant": True}
        targets.append(target)
    return targets


def grafana_thresholds(panel):
    steps = [{"color": "green" if "warn" in panel or "bad" in panel else "blue", "value": None}]
    for name, color in (("warn", "orange"), ("bad", "red")):
        if name in panel:
            steps.append({"color": color, "value": panel[name]})
    return {"mode": "absolute", "steps": steps}


def grafana_tile(panel):
    return {
        "type": "stat",
        "fieldConfig": {
            "defaults": {"unit": UNITS[panel["unit"]][0], "thresholds": grafana_thresholds(panel)},
            "overrides": [],
        },
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def grafana_graph(panel):
    return {
        "type": "timeseries",
        "fieldConfig": {
            "defaults": {
                "unit": UNITS[panel["unit"]][0],
                "min": 0,
                "custom": {"fillOpacity": 8, "lineWidth": 1, "showPoints": "never"},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def grafana_consumers(panel):
    names = {f"Value #{chr(ord('A') + n)}": title for n, (_, title, _, _) in enumerate(CONSUMER_COLUMNS)}
    shown = ["client", "filter", *names, "limit", "cause", "address", "consumer", "instance"]
    overrides = [
        {
            "matcher": {"id": "byName", "options": title},
            "properties": [{"id": "unit", "value": UNITS[unit][0]}],
        }
        for _, title, unit, _ in CONSUMER_COLUMNS
    ]
    overrides[0]["properties"] += [
        {"id": "custom.cellOptions", "value": {"type": "gauge", "mode": "basic"}},
        {"id": "min", "value": 0},
        {"id": "max", "value": 1},
    ]
    return {
        "type": "table",
        "fieldConfig": {
            "defaults": {"unit": "short", "thresholds": grafana_thresholds({"warn": 0.75, "bad": 0.9})},
            "overrides": overrides,
        },
        "options": {"showHeader": True, "sortBy": [{"displayName": CONSUMER_COLUMNS[0][1], "desc": True}]},
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "indexByName": {name: place for place, name in enumerate(shown)},
                    "renameByName": names,
                },
            },
        ],
    }


def grafana_variable(name, label, query):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def grafana(panels):
    shapes = {"tile": grafana_tile, "graph": grafana_graph, "consumers": grafana_consumers}
    made = []
    top = 0

    def add(panel, x, y, width, height):
        made.append({"id": len(made) + 1, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}})

    for row in panels["rows"]:
        add({"type": "row", "title": row["title"], "collapsed": False, "panels": []}, 0, top, ROW_WIDTH, 1)
        left, top, line_height = 0, top + 1, 0
        for panel in row["panels"]:
            width, height = SIZES[panel["kind"]]
            if left + width > ROW_WIDTH:
                left, top, line_height = 0, top + line_height, 0
            head = {"title": panel["title"], "description": panel["description"], "datasource": DATASOURCE}
            add(
                {**head, **shapes[panel["kind"]](panel), "targets": grafana_targets(panel)},
                left,
                top,
                width,
                height,
            )
            left, line_height = left + width, max(line_height, height)
        top += line_height

    datasource = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "uid": "sluice",
        "title": panels["title"],
        "description": "Made by deploy/dashboards/generate.py: change panels.yaml there, not this.",
        "tags": ["sluice"],
        "editable": False,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "annotations": {"list": []},
        "templating": {
            "list": [
                {**datasource, "current": {}, "refresh": 1},
                grafana_variable("job", "Job", "label_values(sluice_build_info, job)"),
                grafana_variable(
                    "instance", "Instance", 'label_values(sluice_build_info{job=~"$job"}, instance)'
                ),
            ]
        },
        "panels": made,
    }
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Makes the dashboards of panels.yaml.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if a file is not up to date"
    )
    check = parser.parse_args().check
    panels = load_panels()
    stale = []
    for path, text in ((CONSOLE, console(panels)), (GRAFANA, grafana(panels))):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path.relative_to(DEPLOY.parent)} {'is not up to date' if check else 'is new'}")
    if check and stale:
        print("write them anew: deploy/dashboards/generate.py")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
