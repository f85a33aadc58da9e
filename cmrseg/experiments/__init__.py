"""Many training runs: the parameter search, and transfer learning with subset sizes."""
