"""The methods: one paper, one file, found by name. `curate.train.methods.catalog` lists them without loading torch."""
