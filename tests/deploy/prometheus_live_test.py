"""Debian's Prometheus, by the files in deploy/, against a live broker with slow consumers: alerts go pending and
fire, and every query of every dashboard and rule returns data.

    prometheus_live_test.py SLUICED SLUICE
"""

import sys

import queries
import stage as stages
from stage import Failed, until

# What the load must set off, by the labels that tell alerts of one name apart. They wait before they fire.
ALERTS_OF_THE_LOAD = (
    ("SluiceConsumerNearLimit", {}),
    ("SluiceMessagesDropped", {}),
    ("SluicePublishersPaused", {"cause": "consumer"}),
)
RATE = "1m"


class Watch:
    """Prometheus, the broker that it scrapes, and a page of metrics that no broker has yet."""

    def __init__(self, stage):
        self.stage = stage
        self.to_come = queries.names_to_come()
        self.invented = stage.serve_metrics(stages.invented_page)
        self.prometheus = stage.start_prometheus([stage.http, self.invented])
        self.broker = f'instance="{stage.http}"'

    def labels_for(self, query):
        """The broker, or, for a metric that it does not have yet, whoever has it."""
        waits = queries.names_in(query) & self.to_come
        return f'job="sluice",instance="{self.invented if waits else self.stage.http}"'

    def check_all_quiet(self):
        until(lambda: self.prometheus.has_data(f"up{{{self.broker}}} == 1"), "a scrape of the broker")
        recorded = f"instance:sluice_loop_busy:ratio_rate5m{{{self.broker}}}"
        until(lambda: self.prometheus.has_data(recorded), "the rules to be evaluated")
        names = "|".join(["SluiceConsumersCut", *(name for name, _ in ALERTS_OF_THE_LOAD)])
        found = self.prometheus.query(f'ALERTS{{{self.broker},alertname=~"{names}"}}')
        if found:
            raise Failed(f"alerts without a reason: {found}")

    def check_alerts(self):
        for name, labels in ALERTS_OF_THE_LOAD:
            self.wait_for_alert(name, labels, waits=True)
        self.wait_for_alert("SluiceConsumersCut", {"reason": "pending_bytes"}, waits=False)

    def wait_for_alert(self, name, labels, waits):
        matchers = ",".join(
            [f'alertname="{name}"', self.broker, *(f'{key}="{labels[key]}"' for key in labels)]
        )
        firing = f'ALERTS{{{matchers},alertstate="firing"}}'
        until(
            lambda: self.prometheus.query(firing),
            lambda: f"{name} to fire; there are {self.prometheus.alerts()}",
        )
        if waits and not self.prometheus.query(
            f'max_over_time(ALERTS{{{matchers},alertstate="pending"}}[1h])'
        ):
            raise Failed(f"{name} was never pending")
        print(f"ok {name} {'went pending and fired' if waits else 'fired'}", flush=True)

    def check_annotations(self):
        for name, found in self.prometheus.alerts().items():
            for _, alert in found:
                text = " ".join(alert["annotations"].values())
                if "<error" in text or "%!" in text or "<no value>" in text:
                    raise Failed(f"{name} says: {text}")

    def check_metrics_to_come(self):
        """Whatever exists by now is to leave the list in panels.yaml."""
        there = []
        for metric in queries.generate.load_panels()["to_come"] or []:
            if self.prometheus.query(f'{{__name__=~"{metric}(_count)?",{self.broker}}}'):
                there.append(metric)
        if there:
            raise Failed(f"take out of to_come in deploy/dashboards/panels.yaml, since they exist: {there}")

    def all_queries(self):
        """Pairs of where a query stands and the query."""
        for panel, query in queries.grafana_queries("LABELS", RATE):
            yield f"Grafana, {panel}", query.replace("LABELS", self.labels_for(query))
        for instance in (self.stage.http, self.invented):
            page = stages.get(f"{self.prometheus.url}/consoles/sluice.html?instance={instance}")
            for query in queries.console_queries(page, RATE):
                if self.labels_for(query) in query:
                    yield "console", query
        for rule in queries.rules():
            if "record" in rule:
                waits = rule["record"] in self.to_come
                yield "rule", f'{rule["record"]}{{instance="{self.invented if waits else self.stage.http}"}}'
            else:
                yield f"alert {rule['alert']}", queries.condition_as_number(rule["expr"])

    def check_queries(self):
        waiting = dict.fromkeys(self.all_queries())
        asked = len(waiting)

        def ask():
            self.stage.block_and_drain()  # a stall that has ended in the last minute
            for where, query in list(waiting):
                if self.prometheus.has_data(query):
                    del waiting[where, query]
            return not waiting

        until(ask, lambda: f"data of {[f'{where}: {query}' for where, query in waiting]}")
        print(f"ok all {asked} queries of dashboards and rules return data", flush=True)

    def check_broker_down(self):
        self.stage.end(self.stage.broker)
        self.wait_for_alert("SluiceBrokerDown", {}, waits=True)


def main():
    sluiced, sluice = sys.argv[1:]
    try:
        with stages.Stage(sluiced, sluice) as stage:
            watch = Watch(stage)
            watch.check_all_quiet()
            print("ok no alert without a reason", flush=True)
            stage.start_load()
            watch.check_alerts()
            watch.check_metrics_to_come()
            watch.check_queries()
            watch.check_annotations()
            watch.check_broker_down()
            watch.check_annotations()
    except Failed as failure:
        print(f"FAILED: {failure}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
