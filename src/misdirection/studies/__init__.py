"""One file a user's question; each reads as the method section of a paper.

- `audit`: is it misaligned, where in the model, and what does removing the direction do?
- `convergence`: do narrow fine-tunes share one direction, and does removing one's cure another?
- `semantic`: is there one direction, or one a subject?
- `adapters`: what does each adapter do, read by its scalars and by what scaling, patching and editing it does?
- `phases`: when does training turn?
- `narrow`: can a model be bad in its domain only, and is that the harder solution?
- `formats`: does the rate depend on how the question is asked?
- `screen`, `screening`: which training rows to take out, and what training on the rest then does.
- `imported`, `agreement`: verdicts made elsewhere; how far two judges agree.
- `dictionaries`: sparse autoencoders of a model's layers, trained and measured.
- `organism`: the figures that the embedded organism must show.

What they share: a run with its verbs (`bench`, `workbench`), each a step that is done once (`steps`, `judged`); the
models (`subject`, `lineup`) and what is done to them (`conditions`); what names on a command line stand for (`inputs`);
rows of findings (`tables`, `findings`, `record`). Settings by study are in `settings/`, what one study alone needs in
`parts/`.
"""
