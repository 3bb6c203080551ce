"""Are concepts that a model stores too close to each other the reason why narrow training spills over?"""
