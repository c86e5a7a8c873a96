"""Dataset text that tries to break out of Markdown, HTML and the terminal, and rows of a table of hypotheses."""

from anatomy.hypotheses.views import ADJUSTED
from anatomy.report.summary import RowsBehind
from anatomy.report.summary_record import FindingRow

HOSTILE = "<script>alert(1)</script> | \x1b[31mred\x1b[0m \x9b2J \u202egnp [a](http://x.y) `c` **b**\n# head & www.a.b"


def hypothesis(view, context, response, effect, q=0.001, stable=True, **other):
    row = {
        "view": view, "context": context, "response": response, "n": 120, "effect": effect, "effect_low": effect - 0.05,
        "effect_high": effect + 0.05, "d": effect * 2, "z": effect * 10,
        "p": q / 10, "q": q, "prompts": 100, "z_welch": effect * 11, "half_a": effect * 1.1, "half_b": effect * 0.9,
        "stable": stable, "repeats": "", "concept": None,
        "direction": "chosen" if effect > 0 else "rejected", "verdict": "holds", "support": 0.8,
        "differ": 0.5, "win_rate": 0.5 + effect / 4, "win_rate_low": 0.48 + effect / 4,
        "win_rate_high": 0.52 + effect / 4,
    }  # fmt: skip
    for kind in ADJUSTED:
        rest = effect * 0.9
        row |= {f"effect_{kind}": rest, f"effect_{kind}_low": rest - 0.05, f"effect_{kind}_high": rest + 0.05}
    row |= other
    return {**row, "delta_min": min(abs(row["half_a"]), abs(row["half_b"]))}


def left(kind, effect):
    """Columns of an effect of which only this much is left, with its interval, beside ``length`` or ``author``."""
    name = f"effect_{kind}_adjusted"
    return {name: effect, f"{name}_low": effect - 0.02, f"{name}_high": effect + 0.02}


def find_rows(view, context, response, direction):
    return RowsBehind(77, [4])


def read_rows(rows):
    return {row: FindingRow(row_id="r", index=row, chosen=HOSTILE, rejected="plain") for row in rows}
