"""Drawing: pages, plots and tables shared by all reports."""
