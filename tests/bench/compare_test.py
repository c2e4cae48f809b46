"""Runs the comparison with something tiny, Sluice and the limit alone, and looks whether the result is sound."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD_DIR = sys.argv.pop(1)
FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from comparison import statistics as stats  # noqa: E402
from comparison import works  # noqa: E402


class CompareTest(unittest.TestCase):
    def test_a_tiny_work_gives_a_sound_result(self):
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([sys.executable, "-B", str(FOLDER / "compare"), "--only", "smoke", "--rounds", "1",
                            "--brokers", "limit,sluice", "--build-dir", BUILD_DIR, "--out", out],
                           check=True, capture_output=True, timeout=110)
            (work,) = json.loads(Path(out, "compare.json").read_text())["works"]
            report = Path(out, "compare.md").read_text()
        (one,) = work["rounds"]
        for result in one["limit"] + [one["runs"]["sluice"][""]]:
            self.assertNotIn("failed", result)
            self.assertGreater(result["messages"], 1000)
            self.assertGreater(result["broker_cpu_seconds"], 0)
            self.assertLess(result["broker_cpu_seconds"], result["seconds"] * 4)
            self.assertGreater(result["rss_bytes_peak"], 1 << 20)
            for fault in ("lost", "repeated", "reordered", "foreign", "errors", "healthy_cut", "stalls"):
                self.assertEqual(result[fault], 0, fault)
        self.assertIn("| S = 3, 16 B, 0.2 s |", report)


class JoinTest(unittest.TestCase):
    def setUp(self):
        self._out = tempfile.TemporaryDirectory()
        self.addCleanup(self._out.cleanup)
        self.folder = Path(self._out.name)

    def write_run(self, folder, **told):
        run = {"machine": {"Cores": "2", "Command": folder}, "settings": {"limit": "none"},
               "works": [{"name": "smoke", "variants": works.smoke_work().variants, "rounds": [], "rounds_repeated": 1,
                          **told}]}
        (self.folder / folder).mkdir()
        (self.folder / folder / "compare.json").write_text(json.dumps(run))

    def join(self, *names):
        joined = [word for name in names for word in ("--join", str(self.folder / name))]
        return subprocess.run([sys.executable, "-B", str(FOLDER / "compare"), *joined, "--out",
                               str(self.folder / "joined")], capture_output=True, text=True, timeout=110, check=False)

    def test_rounds_of_the_same_work_are_put_together(self):
        failed = {"limit": [{"failed": "x"}, {"failed": "x"}], "runs": {"sluice": {"": {"failed": "x"}}}}
        self.write_run("one", rounds=[failed])
        self.write_run("two", rounds=[failed, failed])
        self.assertEqual(self.join("one", "two").returncode, 0)
        run = json.loads((self.folder / "joined" / "compare.json").read_text())
        self.assertEqual(run["machine"], {"Cores": "2", "Command": "one; two"})
        (work,) = run["works"]
        self.assertEqual(len(work["rounds"]), 3)
        self.assertEqual(work["rounds_repeated"], 2)

    def test_what_does_not_fit_is_refused(self):
        self.write_run("one")
        self.write_run("other", variants={"": {"subscribers": 4}})
        self.write_run("unknown", name="of-long-ago")
        self.assertIn("smoke did something else there", self.join("one", "other").stderr)
        self.assertIn("no work is called of-long-ago any more", self.join("one", "unknown").stderr)
        self.assertIn("compare.json", self.join("none").stderr)
        self.assertNotEqual(self.join("none").returncode, 0)


class StatisticsTest(unittest.TestCase):
    def test_spread_is_median_and_quartiles_of_what_is_there(self):
        self.assertEqual(stats.spread([3, None, 1, 2, 5, 4]), {"median": 3, "q1": 2, "q3": 4, "n": 5})
        self.assertEqual(stats.spread([7]), {"median": 7, "q1": 7, "q3": 7, "n": 1})
        self.assertIsNone(stats.spread([None]))

    def test_ratios_are_taken_within_each_round(self):
        self.assertEqual(stats.ratios([2, 30, None], [1, 10, 1])["median"], 2.5)

    def test_percentiles_are_over_all_buckets_together(self):
        buckets = [[10, 98], [20, 1], [10, 900], [50, 1]]
        self.assertEqual(stats.percentile(buckets, 0.5), 10)
        self.assertEqual(stats.percentile(buckets, 0.999), 20)
        self.assertEqual(stats.percentile(buckets, 1), 50)

    def test_the_best_peer_is_chosen_in_each_round(self):
        self.assertEqual(stats.best_of([[1, 5, None], [2, 3, None]]), [1, 3, None])


if __name__ == "__main__":
    unittest.main()
