"""Foreign pickles, read without running anything that they carry."""
