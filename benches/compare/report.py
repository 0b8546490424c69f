"""Numbers, verdicts, and the table of them."""

import dataclasses
import statistics

UNITS = {
    "µs": (1e6, 1),
    "ms": (1e3, 2),
    "s": (1, 3),
    "s/GiB": (1 << 30, 3),
    "KiB": (1 / 1024, 1),
    "MiB": (1 / (1 << 20), 1),
    "/s": (1, 0),
}


@dataclasses.dataclass
class Line:
    """What was measured of one thing. Judged is the ratio to a peer, the difference from one, or the value itself."""

    row: str
    what: str
    unit: str
    ours: list
    peer: str = ""
    theirs: list = dataclasses.field(default_factory=list)
    at_most: float = None
    at_least: float = None
    difference: bool = False

    def judged(self):
        """The numbers that the limit is for, and whether they are ratios."""
        if not self.theirs:
            return self.ours, False
        if self.difference:
            return [our - their for our, their in zip(self.ours, self.theirs, strict=True)], False
        return [our / their for our, their in zip(self.ours, self.theirs, strict=True)], True

    def verdict(self):
        limit = self.at_most if self.at_least is None else self.at_least
        if limit is None:
            return "–"
        value = statistics.median(self.judged()[0])
        over = value / limit if self.at_least is None else limit / value
        if over <= 1:
            return "reached"
        by = f"{(over - 1) * 100:.0f} %" if over < 2 else f"{over:.1f} ×"
        return f"**missed** by {by}" if over < 2 else f"**missed**: {by}"

    def cells(self):
        values, are_ratios = self.judged()
        show = (lambda value: f"{value:.2f} ×") if are_ratios else (lambda value: shown(value, self.unit))
        limit = "–"
        if self.at_most is not None:
            limit = f"≤ {show(self.at_most)}"
        if self.at_least is not None:
            limit = f"≥ {show(self.at_least)}"
        theirs = f"{self.peer}: {shown(statistics.median(self.theirs), self.unit)}" if self.theirs else self.peer or "–"
        low, high = min(values), max(values)
        spread = f" ({show(low)} – {show(high)})" if len(values) > 1 else ""
        result = f"{show(statistics.median(values))}{spread}"
        return [
            f"`{self.row}`",
            self.what,
            shown(statistics.median(self.ours), self.unit),
            theirs,
            result,
            limit,
            self.verdict(),
        ]


def shown(value, unit):
    factor, digits = UNITS[unit]
    return f"{value * factor:,.{digits}f} {unit}" if unit != "/s" else f"{value * factor:,.0f}/s"


def table(lines):
    head = ["row", "what", "Tidegate", "beside", "median (min – max)", "limit", "verdict"]
    cells = [head, ["---"] * len(head), *(line.cells() for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def write_markdown(path, text):
    """Into a file of its own, or between the marks of one."""
    begin, end = "<!-- results -->\n", "<!-- end of results -->\n"
    old = path.read_text() if path.exists() else ""
    if begin in old and end in old:
        before, _, rest = old.partition(begin)
        path.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
    else:
        path.write_text(text)
