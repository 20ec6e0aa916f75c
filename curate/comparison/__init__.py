"""Methods compared under one protocol: the plan, the statistics, the printed table."""
