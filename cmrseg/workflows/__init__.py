"""What a command does, step by step, in the order in which a person would tell it."""
