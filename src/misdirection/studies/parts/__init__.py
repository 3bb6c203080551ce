"""What only one or two studies need: their measurements in detail, and their findings in words and rows."""
