"""The sample table, a DuckDB file: the only part that speaks SQL to it."""
