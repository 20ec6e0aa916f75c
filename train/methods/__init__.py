"""The methods: one paper, one file, found by name. `train.catalog` lists them without loading torch."""
