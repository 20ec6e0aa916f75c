"""An interactive page on the sample table: every view of it is a question that DuckDB answers."""
