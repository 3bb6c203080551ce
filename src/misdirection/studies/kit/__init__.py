"""What studies share: a run with its verbs, its models and arms, options, checks before it starts, rows and words."""
