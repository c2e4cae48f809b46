"""What the Dockerfile and the compose file take from the repository is there. They are not run here."""

import json
import re
import sys
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "deploy" / "docker"


class ContainerFilesTest(unittest.TestCase):
    def setUp(self):
        self.dockerfile = (DOCKER / "Dockerfile").read_text()
        self.compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())

    def test_what_is_copied_is_there_and_is_all_that_the_build_needs(self):
        copied = [
            source
            for words in re.findall(r"^COPY (?!--from)(.+)$", self.dockerfile, re.M)
            for source in words.split()[:-1]
        ]
        for source in copied:
            self.assertTrue((ROOT / source).exists(), source)
        added = re.findall(r"^ *add_subdirectory\((\w+)", (ROOT / "CMakeLists.txt").read_text(), re.M)
        for folder in set(added) - {"tests"}:
            self.assertIn(folder, copied)

    def test_commands_are_lists_that_parse(self):
        commands = re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK.* CMD) (.+)$", self.dockerfile, re.M)
        self.assertEqual(len(commands), 3)
        for command in commands:
            self.assertTrue(all(isinstance(word, str) for word in json.loads(command)), command)

    def test_folders_and_files_of_services_are_there(self):
        build = self.compose["services"]["broker"]["build"]
        context = (DOCKER / build["context"]).resolve()
        self.assertEqual(context, ROOT)
        self.assertTrue((context / build["dockerfile"]).is_file())
        for name, service in self.compose["services"].items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DOCKER / source).exists(), f"{name}: {source}")
                else:
                    self.assertIn(source, self.compose["volumes"], name)

    def test_what_differs_from_the_files_for_one_machine_is_where_the_others_are(self):
        for ours, theirs, here, there in (
            ("prometheus.yml", "prometheus/prometheus.yml", "broker:7585", "127.0.0.1:7585"),
            ("datasource.yaml", "grafana/provisioning/datasources/sluice.yaml", "prometheus:9090", "127.0.0.1:9090"),
        ):
            self.assertIn(here.split(":")[0], self.compose["services"])
            text = (DOCKER / ours).read_text()
            self.assertEqual(text.count(here), 1, ours)
            self.assertEqual(
                yaml.safe_load(text.replace(here, there)),
                yaml.safe_load((ROOT / "deploy" / theirs).read_text()),
            )

    def test_what_provisions_grafana_looks_where_the_dashboard_is_mounted(self):
        provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/sluice.yaml").read_text())
        path = provider["providers"][0]["options"]["path"]
        mounted = [volume.split(":")[1] for volume in self.compose["services"]["grafana"]["volumes"]]
        self.assertIn(path, mounted)


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
