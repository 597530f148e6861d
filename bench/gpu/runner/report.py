"""The table: rows of what was measured against PyTorch and the goal. Standard library only."""

import json
import os


class Report:
    def __init__(self, description):
        self.description = description
        self.rows, self.checks, self.notes, self.ceilings = [], [], [], {}

    def row(self, section, name, ms, flop=0, moved=0, peer=None, peer_by="", goal="", met=None, spread=None):
        self.rows.append(
            {
                "section": section,
                "name": name,
                "ms": ms,
                "spread": spread,
                "tflops": flop / ms / 1e9 if flop else None,
                "tbps": moved / ms / 1e9 if moved else None,
                "peer_ms": peer,
                "peer": peer_by,
                "ratio": ms / peer if peer else None,
                "goal": goal,
                "met": met,
            }
        )

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def markdown(self):
        lines = [self.description, ""]
        if self.ceilings:
            lines += [
                f"Ceilings: {self.ceilings['tflops']:.0f} TFLOP/s (bf16 product 8192³), "
                f"{self.ceilings['tbps']:.2f} TB/s (copy, read and written).",
                "",
            ]
        failed = [check for check in self.checks if not check["ok"]]
        lines += [f"Checks: {len(self.checks) - len(failed)} of {len(self.checks)} hold.", ""]
        for check in failed:
            lines.append(f"- FAILS: {check['name']}: {describe_check(check)}")
        lines += ["| what | ms | TFLOP/s | TB/s | PyTorch ms | ours / PyTorch | goal |", "|---|---|---|---|---|---|---|"]
        for row in self.rows:
            by = f" ({row['peer']})" if row["peer"] else ""
            met = "" if row["met"] is None else (" met" if row["met"] else " MISSED")
            cells = [
                f"{row['section']}: {row['name']}",
                number(row["ms"]),
                number(row["tflops"]),
                number(row["tbps"]),
                f"{number(row['peer_ms'])}{by}",
                number(row["ratio"]),
                f"{row['goal']}{met}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes), ""])

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
            json.dump(self.__dict__, file, indent=1)
        with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as file:
            file.write(self.markdown())


def number(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def describe_check(check):
    if "error" in check:
        return check["error"]
    parts = [f"relative error {check['l2']:.1e}", f"worst {check['worst']:.1e}"]
    if check.get("missing") or check.get("beside"):
        parts.append(f"{check['missing']} not written, {check['beside']} written beside")
    return ", ".join(parts)
