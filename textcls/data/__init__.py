"""Reading labelled and unlabelled rows of every format, splitting them, checking a dataset."""
