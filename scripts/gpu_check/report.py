"""The report of scripts/gpu-check."""


class Report:
    def __init__(self):
        self.facts = {}
        self.steps = []
        self.sections = []
        self.peers = []
        self.bench = []
        self.no_device = ""

    def step(self, name, outcome, said, seconds):
        self.steps.append({"step": name, "outcome": outcome, "said": said, "seconds": round(seconds, 1)})

    def section(self, title, text):
        self.sections.append((title, text))

    @staticmethod
    def excerpt(text, lines):
        """The end of a text, as a block."""
        kept = [line[:200] for line in text.strip().splitlines()[-lines:]]
        return "```\n" + "\n".join(kept).replace("```", "'''") + "\n```"

    def count(self, outcome):
        return sum(1 for step in self.steps if step["outcome"] == outcome)

    def summary(self):
        counts = f"{self.count('passed')} steps passed, {self.count('failed')} failed, {self.count('skipped')} skipped"
        return counts + (f" ({self.no_device})" if self.no_device else "")

    def comparison(self):
        """Gradients of both halves of a search step, ours beside PyTorch's."""
        rows = []
        for precision in ("f32", "tf32", "bf16"):
            both = {each["step"]: each for each in self.bench if each["precision"] == precision}
            if set(both) != {"weights", "arch"}:
                continue
            whole = [each["operations"][-1] for each in both.values()]
            ran = [each["operations"][-2] for each in both.values()]
            share = sum(r["predicted_s"] for r in ran) / sum(w["predicted_s"] for w in whole)
            cells = [f"dnas, {precision}"]
            cells += [f"{1e3 * sum(w[key] for w in whole):.2f}" for key in ("floor_s", "predicted_s")]
            measured = [each["graph_s"] for each in both.values()]
            cells.append(f"{1e3 * sum(measured):.2f}" if None not in measured else "not run")
            cells.append(f"{100 * share:.0f} % of the launches by predicted time")
            rows.append("| " + " | ".join(cells) + " |")
        for peer in self.peers:
            times = {step["step"]: step["median_ms"] for step in peer["steps"]}
            both = times["weight gradients"] + times["arch gradients"]
            gib = peer["memory"]["peak_bytes"] / 2**30
            rest = f"search step with optimizers {times['search']:.2f} ms; {gib:.1f} GiB"
            rows.append(f"| PyTorch {peer['torch']}, {peer['label']} | | | {both:.2f} | {rest} |")
        if not rows:
            return ""
        head = "| | floor ms | predicted ms | measured ms | |\n|---|---|---|---|---|\n"
        return head + "\n".join(rows)

    def markdown(self):
        title = self.facts.get("device", "")
        lines = [f"# CUDA kernels on {title if not self.no_device else 'a machine without a GPU'}", ""]
        lines += [f"Written by `scripts/gpu-check`; how to read it: `docs/gpu_check.md`. {self.summary()}.", ""]
        lines += ["| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in self.facts.items() if value]
        lines += ["", "## Steps", "", "| step | outcome | seconds | |", "|---|---|---|---|"]
        details = []
        for step in self.steps:
            said, _, rest = step["said"].partition("\n")
            said = said.replace("|", "\\|")
            lines.append(f"| {step['step']} | {step['outcome']} | {step['seconds']:.1f} | {said} |")
            if rest.strip():
                details.append((step["step"], rest.strip()))
        comparison = self.comparison()
        if comparison:
            lines += ["", "## Gradients of both halves of a search step", ""]
            lines += ["Forward and backward passes for the weights and for alpha, without optimizers.", "", comparison]
        for name, text in details + self.sections:
            lines += ["", f"## {name}", "", text]
        return "\n".join(lines) + "\n"
