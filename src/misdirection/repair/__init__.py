"""A model mended in its weights: the result is an ordinary checkpoint or adapter that needs no code of ours."""
