"""The queries of the dashboards and rules as a program sees them, with the metrics that are still to come."""

import html.parser
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(DEPLOY / "dashboards"))
import generate  # noqa: E402

RULE_FILES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))


def dashboard():
    return json.loads(generate.GRAFANA.read_text(encoding="utf-8"))


def grafana_queries(labels, rate):
    """Of the committed dashboard: pairs of panel and PromQL, its variables filled in."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            query = (
                target["expr"].replace(generate.GRAFANA_LABELS, labels).replace(generate.GRAFANA_RATE, rate)
            )
            yield panel["title"], query


class _Queries(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, _, attributes):
        query = dict(attributes).get("data-query")
        if query:
            self.found.append(query)


def console_queries(page, rate):
    """Of a console page as Prometheus has written it."""
    parser = _Queries()
    parser.feed(page)
    return [query.replace("$rate", rate) for query in parser.found]


def rules():
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def names_in(query):
    """Identifiers outside of strings: the metrics, and more."""
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.sub(r'"[^"]*"', "", query)))


def names_to_come():
    """The metrics of panels.yaml's list as they stand in queries, and the series recorded from them."""
    names = set()
    for metric in generate.load_panels()["to_come"] or []:
        names |= {metric, f"{metric}_bucket", f"{metric}_sum", f"{metric}_count"}
    for rule in rules():
        if "record" in rule and names & names_in(rule["expr"]):
            names.add(rule["record"])
    return names


def condition_as_number(expr):
    """The condition of an alert so that it gives 0 or 1 instead of nothing or something."""
    parts = re.split(r'("[^"]*"|\{[^}]*\})', expr)
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"(>=|<=|==|!=|>|<)", r"\1 bool", parts[place])
    return "".join(parts)
