"""Tests of what scripts/gpu-check makes of programs that fail in every way."""
import pathlib
import sys
import tempfile
import textwrap
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from gpu_check import googletest  # noqa: E402
from gpu_check.commands import Runner  # noqa: E402
from gpu_check.report import Report  # noqa: E402

# Prints what GoogleTest prints. What a test does is in its name.
PROGRAM = """
    #!{python}
    import os, sys, time
    tests = {tests}
    if sys.argv[1] == "--gtest_list_tests":
        for suite, names in tests.items():
            print(suite + "  # TypeParam = float")
            for name in names:
                print("  " + name + "  # GetParam() = 1.5")
        sys.exit(0)
    wanted = sys.argv[1].split("=", 1)[1].split(":")
    failed = False
    for suite, names in tests.items():
        for name in (n for n in names if suite + n in wanted):
            print("[ RUN      ] " + suite + name, flush=True)
            if name == "Aborts":
                os.abort()
            if name == "Hangs":
                time.sleep(60)
            if name in ("Fails", "LosesTheDevice"):
                failed = True
                print("x.cpp:1: Failure\\nexpected 1, got 2")
                print("[  FAILED  ] " + suite + name + ", where GetParam() = 1.5 (3 ms)", flush=True)
            elif name == "Skips":
                print("skipped: no CUDA device (none)\\n[  SKIPPED ] " + suite + name + " (0 ms)")
            else:
                print("[       OK ] " + suite + name + " (3 ms)", flush=True)
            if name == "LosesTheDevice":
                os._exit(5)
    sys.exit(failed)
"""


class GoogleTestRuns(unittest.TestCase):
    def run_program(self, tests, minutes=1.0):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "program"
            text = textwrap.dedent(PROGRAM).lstrip().replace("{python}", sys.executable)
            program.write_text(text.replace("{tests}", repr(tests)))
            program.chmod(0o755)
            return googletest.run(Runner(pathlib.Path(folder) / "logs", minutes), "program", program, 3)

    def test_every_test_has_its_outcome(self):
        results = self.run_program({"A.": ["One", "Two"], "Shapes/B.": ["Fails/0", "Fails", "Skips", "DISABLED_X"]})
        self.assertEqual(
            results.outcome,
            {
                "A.One": "passed",
                "A.Two": "passed",
                "Shapes/B.Fails/0": "passed",
                "Shapes/B.Fails": "failed",
                "Shapes/B.Skips": "skipped",
            },
        )
        self.assertIn("expected 1, got 2", results.messages["Shapes/B.Fails"])
        self.assertEqual(results.bad(), ["Shapes/B.Fails"])
        self.assertIn("no CUDA device (none)", results.no_device)

    def test_a_crash_leaves_the_others(self):
        results = self.run_program({"A.": ["One", "Aborts", "Two", "LosesTheDevice", "Three"]})
        self.assertEqual(results.outcome["A.Aborts"], "crashed (ended by SIGABRT)")
        self.assertEqual(results.outcome["A.LosesTheDevice"], "failed")
        self.assertEqual([results.outcome["A." + name] for name in ("One", "Two", "Three")], ["passed"] * 3)

    def test_a_test_that_does_not_end_leaves_the_others(self):
        results = self.run_program({"A.": ["One", "Hangs", "Two"], "B.": ["One"]})
        self.assertEqual(results.outcome["A.Hangs"], "timed out")
        self.assertEqual([results.outcome[name] for name in ("A.One", "A.Two", "B.One")], ["passed"] * 3)

    def test_no_tests_and_no_time_are_failures(self):
        self.assertEqual(len(self.run_program({}).bad()), 1)
        self.assertEqual(len(self.run_program({"A.": ["One"]}, minutes=0.0).bad()), 1)


class Reports(unittest.TestCase):
    def test_steps_are_counted_and_tables_stay_tables(self):
        report = Report()
        report.facts = {"device": "a device"}
        report.step("build", "passed", "fine", 1.0)
        report.step("tests", "failed", "1 of 2 | bad\n\nmore of it", 2.0)
        text = report.markdown()
        self.assertIn("1 steps passed, 1 failed, 0 skipped", text)
        self.assertIn("| tests | failed | 2.0 | 1 of 2 \\| bad |", text)
        self.assertIn("## tests\n\nmore of it", text)

    def test_halves_of_a_search_step_are_added(self):
        report = Report()
        rows = [{"floor_s": 1e-3, "predicted_s": 2e-3}] * 2
        report.bench = [
            {"precision": "bf16", "step": step, "graph_s": seconds, "operations": rows}
            for step, seconds in (("weights", 3e-3), ("arch", 4e-3))
        ]
        self.assertIn("| dnas, bf16 | 2.00 | 4.00 | 7.00 | 100 % of", report.comparison())


if __name__ == "__main__":
    unittest.main()
