"""Runs a GoogleTest program suite by suite, so that one fault does not hide the other tests.

A kernel with a fault costs its process the device, and one that never ends costs it its time. What had not run yet of
the suite then runs in a new process.
"""
import concurrent.futures
import re

RUN = re.compile(r"^\[ RUN      \] (\S+)")
END = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] ([^\s,]+).*\(\d+ ms\)$")
OUTCOME = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
NO_DEVICE = "skipped: no CUDA device"
FILTER_CHARACTERS = 60000  # one argument of a command holds no more than 128 KiB


class Results:
    def __init__(self):
        self.outcome = {}  # of each test: passed, failed, skipped, or what ended its process
        self.messages = {}  # of those that did not pass
        self.no_device = ""

    def count(self, outcome):
        return sum(1 for value in self.outcome.values() if value == outcome)

    def bad(self):
        return [name for name, value in self.outcome.items() if value not in ("passed", "skipped")]


def listed(text):
    """The tests of --gtest_list_tests by suite."""
    suites, current = {}, None
    for line in text.splitlines():
        name = line.split("#")[0].rstrip()
        if name.endswith(".") and not name.startswith(" "):
            current = suites.setdefault(name, [])
        elif name.startswith("  ") and current is not None and "DISABLED_" not in name:
            current.append(name.strip())
    return {suite: names for suite, names in suites.items() if names and "DISABLED_" not in suite}


def read(results, text):
    """Enters what the output says of each test. Returns the test that was running at its end, if any."""
    running, lines = None, []
    for line in text.splitlines():
        begin, end = RUN.match(line), END.match(line)
        if begin:
            running, lines = begin.group(1), []
        elif end and running == end.group(2):
            results.outcome[running] = OUTCOME[end.group(1)]
            if end.group(1) != "OK":
                results.messages[running] = "\n".join(lines[:12])
            running = None
        else:
            lines.append(line)
            if line.startswith(NO_DEVICE):
                results.no_device = line
    if running:
        results.messages[running] = "\n".join(lines[:12])
    return running


def run_suite(runner, label, program, suite, names, seconds, environment):
    results = Results()
    left = [suite + name for name in names]
    attempt = 0
    while left:
        take, length = [], 0
        for name in left:
            length += len(name) + 1
            if length > FILTER_CHARACTERS:
                break
            take.append(name)
        attempt += 1
        log = f"{label}-{re.sub('[^A-Za-z0-9]+', '_', suite).strip('_')}-{attempt}"
        done = runner.run(log, [program, "--gtest_filter=" + ":".join(take)], seconds, environment)
        running = read(results, done.output())
        if running:
            results.outcome[running] = "timed out" if done.code is None else f"crashed ({done.why()})"
        after = [name for name in left if name not in results.outcome]
        if len(after) == len(left):  # nothing came of it
            for name in after:
                results.outcome[name] = f"not run ({done.why()})"
            break
        left = after
    return results


def run(runner, label, program, seconds, environment=None, jobs=4):
    """Results of all tests; seconds is the limit of each process."""
    total = Results()
    listing = runner.run(label + "-list", [program, "--gtest_list_tests"], 30, environment)
    suites = listed(listing.output()) if listing.ok else {}
    if not suites:
        total.outcome["(list of tests)"] = f"failed: {listing.why()}" if not listing.ok else "failed: no tests"
        return total
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        parts = [
            pool.submit(run_suite, runner, label, program, suite, names, seconds, environment)
            for suite, names in suites.items()
        ]
        for part in parts:
            results = part.result()
            total.outcome.update(results.outcome)
            total.messages.update(results.messages)
            total.no_device = total.no_device or results.no_device
    return total
