"""The report: one HTML file that shows what the files of a workdir hold, with pictures, tables and examples."""
