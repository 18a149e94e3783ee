"""The results of the guests as a table: a row for each kernel and backend."""

CHECKS = ("attach", "record", "lives", "laws", "filters", "counters", "books", "capabilities", "clock")
HEAD = ("kernel", "backend", *CHECKS, "object", "notes")


class Report:
    """The rows so far, and lines below them."""

    def __init__(self):
        self.rows, self.below = [], []

    def note(self, line):
        self.below.append(line)

    def skipped(self, kernel, reason):
        self.rows.append((kernel.name, "", *[""] * len(CHECKS), "", f"skipped: {reason}"))

    def add(self, kernel, backend, outcome):
        results = outcome.of(backend)
        cells = [self._cell(results.get(check)) for check in CHECKS]
        used = results.get("attach", {})
        notes = self._notes(kernel, backend, results) if outcome.finished else f"guest {outcome.ending}"
        self.rows.append((outcome.release, backend, *cells, used["found"] if used.get("holds") else "-", notes))

    def packed(self):
        """All of it, as plain lists for another process."""
        return [list(map(list, self.rows)), self.below]

    def add_packed(self, packed):
        rows, below = packed
        self.rows += map(tuple, rows)
        self.below += below

    @staticmethod
    def _cell(result):
        return "-" if result is None else "yes" if result["holds"] else "NO"

    @staticmethod
    def _notes(kernel, backend, results):
        if "refused" in results:
            expected = " as it should" if not Report.wrong_refusal(kernel, backend, results["refused"]) else ""
            return f"refused{expected}: {results['refused']['found']}"
        return Report.notes(results)

    @staticmethod
    def notes(results):
        """The failures, or else the findings."""
        broken = [f"{check}: {result['found']}" for check, result in results.items() if not result["holds"]]
        return "; ".join(broken) or "; ".join(f"{c}: {r['found']}" for c, r in results.items() if c != "attach")

    @staticmethod
    def wrong_refusal(kernel, backend, result):
        """True unless this kernel must give this refusal, in the form that the command should give it."""
        expected = dict(kernel.refusals).get(backend)
        return expected is None or expected not in result["found"] or not result["holds"]

    @staticmethod
    def wrong(kernel, backend, outcome):
        """All that is wrong, as text."""
        results = outcome.of(backend)
        if "refused" in results:
            refusal = results["refused"]
            return [f"{backend} refused: {refusal['found']}"] if Report.wrong_refusal(kernel, backend, refusal) else []
        if backend in dict(kernel.refusals):
            return [f"{backend} works where it was expected to refuse"]
        absent = [f"{backend} {check}: no result" for check in CHECKS if check not in results]
        return absent + [f"{backend} {c}: {r['found']}" for c, r in results.items() if not r["holds"]]

    def lines(self):
        """The table, in Markdown and in columns."""
        if not self.rows:
            return self.below
        table = [HEAD, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEAD) - 1)]
        rule = ["-" * width for width in [*widths, len("notes")]]
        padded = [[*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]] for row in table]
        return [f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]]] + self.below
