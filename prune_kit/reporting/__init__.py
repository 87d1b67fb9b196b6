"""The report: one HTML page that shows what the files of a workdir hold, and its figures."""
