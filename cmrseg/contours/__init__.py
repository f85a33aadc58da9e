"""What people drew: which image, whether it can be right, and what it teaches."""
