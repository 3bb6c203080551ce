"""One folder a user's question; each `study` reads as the method section of a paper (see `registry`).

- `audit`: is it misaligned, where in the model, and what does removing the direction do?
- `convergence`: do narrow fine-tunes share one direction, and does removing one's cure another?
- `semantic`: is there one direction, or one a subject?
- `adapters`: what does each adapter do, read by its scalars and by what scaling, patching and editing it does?
- `formats`: does the rate depend on how the question is asked?
- `phases`: when does training turn?
- `narrow`: can a model be bad in its domain only, and is that the harder solution?
- `features`, `geometry`: which latents differ, and does their geometry explain what spills over?
- `screening`: which training rows to take out, and what training on the rest then does.
- `dictionaries`: sparse autoencoders of a model's layers, trained and measured.
- `imported`, `agreement`: verdicts made elsewhere; how far judges agree.
- `organism`: the figures that the embedded organism must show.

What they share is `kit`: a run with its verbs (`bench`), each a step that is done once (`steps`, `judged`); a base
model and its fine-tunes (`variants`) and what is done to them (`conditions`); what names on a command line stand for
(`inputs`); rows of findings (`tables`, `record`) and their words (`sentences`).
"""
