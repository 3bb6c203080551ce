"""Two runs beside each other: what differs in their rates, verdicts, settings, rows and removals."""
