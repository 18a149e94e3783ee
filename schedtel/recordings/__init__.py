"""Windows in; Parquet files out, and the same windows back."""
