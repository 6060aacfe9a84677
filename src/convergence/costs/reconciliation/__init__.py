"""Usage times price against what providers report against what they invoice, and the proofs that nothing was lost."""
