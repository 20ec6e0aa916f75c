"""The sample table, a DuckDB file: the only part that sends SQL to it."""
