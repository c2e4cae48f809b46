"""Dashboards, rules and runbook agree with each other and with what Prometheus and Grafana want. Starts no
server."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

import queries

generate = queries.generate
DEPLOY = queries.DEPLOY
RUNBOOK = DEPLOY / "RUNBOOK.md"
ALERT_CASES = pathlib.Path(__file__).resolve().parent / "alerts_test.yml"
SEVERITIES = {"critical", "warning"}
# In PromQL with variables filled in: a metric with its matchers, or without.
SELECTOR = re.compile(r"\b((?:sluice|process|ALERTS|up)\w*)\b(\{[^}]*\})?")
COUNTER_FUNCTIONS = ("rate", "increase", "irate")


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def alerts():
    return [rule for rule in queries.rules() if "alert" in rule]


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


class Generated(unittest.TestCase):
    def test_dashboards_are_up_to_date(self):
        done = subprocess.run(
            [sys.executable, "-B", generate.HERE / "generate.py", "--check"], capture_output=True
        )
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_each_metric_to_come_is_waited_for(self):
        used = set()
        for row in generate.load_panels()["rows"]:
            for panel in row["panels"]:
                for _, query in generate.queries_of(panel):
                    used |= queries.names_in(query)
        for rule in queries.rules():
            used |= queries.names_in(rule["expr"])
        waited_for = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} | used
        self.assertEqual(
            set(generate.load_panels()["to_come"] or []) - waited_for, set(), "nothing asks for these"
        )


class PromQl(unittest.TestCase):
    def test_promtool_takes_configuration_and_rules(self):
        code, output = promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
        self.assertEqual(code, 0, output)
        for path in queries.RULE_FILES:
            code, output = promtool("check", "rules", "--lint-fatal", path)
            self.assertEqual(code, 0, output)

    def test_promtool_takes_each_query_of_the_dashboards(self):
        """As rules: it parses those without a server."""
        filled_in = [query for _, query in queries.grafana_queries('job="sluice"', "1m")]
        numbers = [queries.condition_as_number(rule["expr"]) for rule in alerts()]
        checked = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(filled_in + numbers)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": [{"name": "queries", "rules": checked}]}, file)
            file.flush()
            code, output = promtool("check", "rules", file.name)
        self.assertEqual(code, 0, output)

    def test_alerts_fire_when_they_should_and_not_otherwise(self):
        code, output = promtool("test", "rules", ALERT_CASES)
        self.assertEqual(code, 0, output)


class Alerts(unittest.TestCase):
    def test_each_has_what_whoever_is_woken_needs(self):
        for alert in alerts():
            with self.subTest(alert["alert"]):
                self.assertIn(alert["labels"]["severity"], SEVERITIES)
                self.assertEqual({"summary", "description", "runbook_url"}, alert["annotations"].keys())
                self.assertEqual(
                    alert["annotations"]["runbook_url"], f"deploy/RUNBOOK.md#{anchor(alert['alert'])}"
                )

    def test_each_has_a_section_in_the_runbook_and_each_section_an_alert(self):
        text = RUNBOOK.read_text(encoding="utf-8")
        sections = re.findall(r"^## (Sluice\w+)$", text, re.M)
        self.assertEqual(sorted(sections), sorted({alert["alert"] for alert in alerts()}))
        for section in re.split(r"^## Sluice", text, flags=re.M)[1:]:
            for part in ("**What it means.**", "**Look at**", "**Do.**"):
                if not section.startswith("PublishersPaused"):
                    self.assertIn(part, section)

    def test_links_in_the_runbook_lead_somewhere(self):
        text = RUNBOOK.read_text(encoding="utf-8")
        anchors = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, place = target.partition("#")
            self.assertTrue((DEPLOY / path).exists(), target)
            if not path:
                self.assertIn(place, anchors)

    def test_each_has_a_case_that_fires_and_one_that_must_not(self):
        cases = yaml.safe_load(ALERT_CASES.read_text(encoding="utf-8"))["tests"]
        fires, quiet = set(), set()
        for case in (case for test in cases for case in test["alert_rule_test"]):
            (fires if case.get("exp_alerts") else quiet).add(case["alertname"])
        names = {alert["alert"] for alert in alerts()}
        self.assertEqual(fires, names)
        self.assertEqual(quiet, names)

    def test_a_condition_becomes_a_number(self):
        self.assertEqual(
            queries.condition_as_number('up{job=~"a>b"} == 0 and x{l!="<"} >= 5'),
            'up{job=~"a>b"} == bool 0 and x{l!="<"} >= bool 5',
        )


class Grafana(unittest.TestCase):
    def setUp(self):
        self.dashboard = queries.dashboard()
        self.panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]
        self.variables = {variable["name"]: variable for variable in self.dashboard["templating"]["list"]}

    def targets(self):
        for panel in self.panels:
            for target in panel["targets"]:
                yield panel, target

    def test_the_data_source_is_a_variable_that_everything_uses(self):
        self.assertEqual(self.variables["datasource"]["type"], "datasource")
        self.assertEqual(self.variables["datasource"]["query"], "prometheus")
        users = [*self.panels, *(target for _, target in self.targets()), self.variables["job"]]
        for user in [*users, self.variables["instance"]]:
            self.assertEqual(user["datasource"], {"type": "prometheus", "uid": "${datasource}"})

    def test_job_and_instance_are_variables_of_which_several_can_be_chosen(self):
        for name in ("job", "instance"):
            variable = self.variables[name]
            self.assertEqual(variable["type"], "query")
            self.assertTrue(variable["multi"] and variable["includeAll"] and variable["label"])
            self.assertEqual(variable["allValue"], ".+")
            self.assertEqual(variable["refresh"], 2, "asked anew when the time range changes")
        self.assertIn('job=~"$job"', self.variables["instance"]["query"]["query"])

    def test_each_selector_keeps_to_job_and_instance(self):
        for panel, target in self.targets():
            selectors = SELECTOR.findall(target["expr"])
            self.assertTrue(selectors, target["expr"])
            for metric, matchers in selectors:
                with self.subTest(panel["title"], metric=metric):
                    self.assertIn('job=~"$job"', matchers)
                    self.assertIn('instance=~"$instance"', matchers)

    def test_counters_are_asked_for_their_rate_over_the_interval_that_grafana_chooses(self):
        for panel, target in self.targets():
            for window in re.findall(r"\[([^]]*)\]", target["expr"]):
                with self.subTest(panel["title"]):
                    self.assertIn(window, ("$__rate_interval", "1h"))  # "in the last hour"
            for metric in re.findall(r"(\S*)\b\w+_total\b", target["expr"]):
                with self.subTest(panel["title"]):
                    self.assertTrue(
                        metric.endswith(tuple(f"{name}(" for name in COUNTER_FUNCTIONS)), target["expr"]
                    )

    def test_each_query_is_aggregated(self):
        for panel, target in self.targets():
            with self.subTest(panel["title"]):
                self.assertRegex(target["expr"], r"\b(sum|max|min|count|avg)\b")

    def test_each_panel_says_what_it_shows(self):
        units = {unit for unit, _ in generate.UNITS.values()}
        for panel in self.panels:
            with self.subTest(panel["title"]):
                self.assertTrue(panel["title"] and panel["description"] and panel["targets"])
                self.assertIn(panel["fieldConfig"]["defaults"]["unit"], units)
        titles = [panel["title"] for panel in self.panels]
        self.assertEqual(len(titles), len(set(titles)))

    def test_panels_do_not_overlap_and_have_numbers_of_their_own(self):
        taken = set()
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], generate.ROW_WIDTH)
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertFalse(taken & cells, panel["title"])
            taken |= cells
        ids = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    def test_it_is_changed_in_its_source_only(self):
        self.assertFalse(self.dashboard["editable"])
        provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/sluice.yaml").read_text())[
            "providers"
        ][0]
        self.assertFalse(provider["allowUiUpdates"])
        self.assertTrue(provider["disableDeletion"])

    def test_the_data_source_is_provisioned(self):
        source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/sluice.yaml").read_text())[
            "datasources"
        ][0]
        self.assertEqual(source["type"], "prometheus")
        self.assertEqual(source["jsonData"]["timeInterval"], "15s", "the scrape interval of prometheus.yml")
        self.assertIn("scrape_interval: 15s", (DEPLOY / "prometheus/prometheus.yml").read_text())


if __name__ == "__main__":
    unittest.main()
