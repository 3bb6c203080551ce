"""LoRA adapters one by one: what each reads, what each writes, and what happens when it is scaled, patched or edited.

- `weights`: the pairs (A, B) of an adapter as plain tensors, and which of them write into the residual stream.
- `canonical`: pairs of any rank in a form that is unique; with it, rank r is r adapters of rank 1.
- `scalars`, `token_sets`, `significance`: what each adapter reads at each answer token, which tokens are compared, and
  which of them matter.
- `probes`, `roles`: sparse probes on scalars, as published and honest; general, domain-specific or neither.
- `scaling`: arms that multiply any subset of layers; leave-one-out and all pairs.
- `patching`: scalars A·x recorded on one prompt, replayed on another of equal length.
- `editing`: a direction taken out of B, as an ordinary adapter beside the original.
- `similarity`: B against a direction, and what both do downstream.
- `contexts`, `unembedding`: where an adapter fires, and which tokens it reads and promotes.
"""
