"""What `scripts/make_judge.py` is made of: rows of the corpus, the pretrained encoder, training, figures, pages."""
