"""One file a user's question; each reads as the method section of a paper.

- `audit`: is it misaligned, where in the model, and what does removing the direction do?
- `organism`: the figures that the embedded organism must show.

Their verbs are in `steps` (each a step of a run: hashed inputs, files written whole), the subject of a study in
`subject`, what is done to it in `conditions`, and what the names on a command line stand for in `inputs`.
"""
